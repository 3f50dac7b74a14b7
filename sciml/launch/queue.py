"""What SLURM says of a job: squeue first, sacct where squeue has forgotten it and sacct answers."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from sciml.contracts import UserError

#: States of a job that is not over.
ACTIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "RESIZING", "SUSPENDED", "STOPPED", "SIGNALING"),
    *("COMPLETING", "STAGE_OUT", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"),
}
_ANSWER_WITHIN = 60.0


@final
@dataclass(frozen=True)
class Entry:
    """A job, or a member of an array: `state` as SLURM spells it, `reason` for waiting or ending,
    `left` of its time limit, `nodes` it runs on.
    """

    state: str
    reason: str = ""
    left: str = ""
    nodes: str = ""

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE


def ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """What a command of SLURM's answers.

    Raises:
        UserError: there is no such command, or it does not answer.
    """
    try:
        return subprocess.run(
            list(command), capture_output=True, text=True, timeout=_ANSWER_WITHIN, check=False
        )
    except FileNotFoundError as error:
        raise UserError(
            f"{command[0]} is not found: SLURM's commands are on a cluster's login nodes"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{command[0]} has not answered for {_ANSWER_WITHIN:.0f} s; try again later"
        ) from error


def said(answer: subprocess.CompletedProcess[str]) -> str:
    """What a command complained of, in one line."""
    return " ".join((answer.stderr or answer.stdout).split())


def entries(job: str) -> dict[int | None, Entry]:
    """Entry by member of an array, or by None for a single job; empty for a forgotten one."""
    options = ("--noheader", "--array", "--states=all", "--format=%i|%T|%r|%L|%N")
    answer = ask(["squeue", *options, f"--jobs={job}"])
    if answer.returncode == 0 and answer.stdout.strip():
        return dict(map(_entry, answer.stdout.splitlines()))
    if answer.returncode != 0 and "Invalid job id" not in answer.stderr:
        raise UserError(f"squeue: {said(answer)}")
    return _accounted(job)


def _accounted(job: str) -> dict[int | None, Entry]:
    """The same from the accounting; empty where a cluster keeps none."""
    options = ("--noheader", "--parsable2", "--allocations", "--format=JobID,State,ExitCode")
    try:
        answer = ask(["sacct", *options, f"--jobs={job}"])
    except UserError:
        return {}
    if answer.returncode != 0:
        return {}
    found = {}
    for line in answer.stdout.splitlines():
        name, state, code = line.split("|")[:3]
        reason = "" if code in ("", "0:0") else f"ExitCode {code.split(':')[0]}"
        found.update([_entry(f"{name}|{state.split(' ')[0]}|{reason}||")])
    return found


def _entry(line: str) -> tuple[int | None, Entry]:
    name, state, reason, left, nodes = line.strip().split("|")[:5]
    index = name.partition("_")[2]
    reason = "" if reason in ("None", "(null)") else reason
    return int(index) if index.isdigit() else None, Entry(state, reason, left, nodes)
