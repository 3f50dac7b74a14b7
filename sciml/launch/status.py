"""`sciml status`, `logs` and `cancel`: what became of submitted runs."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sciml import runs, tables
from sciml.contracts import UserError
from sciml.launch import queue, record
from sciml.launch.queue import Entry
from sciml.launch.record import Record
from sciml.launch.script import CODE, LOG, SCRIPT

_HEAD = ("run", "job", "state", "steps", "error", "note")
_LOOK_EVERY = 0.5  # s, between looks at a log that is followed
_ASK_EVERY = 5.0  # s, between questions to SLURM


def table(folders: Sequence[str]) -> str:
    """One line a run: SLURM's state, steps done of those planned, error, and what to do next.

    Args:
        folders: run folders; empty for all that were submitted from ./runs.
    """
    found = [record.find(run) for run in folders or record.find_all()]
    if not found:
        return "nothing was submitted from ./runs; sciml submit CASE hpc=SITE"
    return tables.table([_HEAD, *(row for one in found for row in _rows(one))])


def _rows(one: Record) -> Iterator[Sequence[str]]:
    known = one.entries()
    for index, place in one.places().items():
        entry = known.get(index)
        job = one.job or "-"
        yield (
            str(place),
            job if index is None else f"{job}_{index}",
            _state(one, entry, place),
            *_progress(place),
            _note(one, entry, place),
        )


def _state(one: Record, entry: Entry | None, place: Path) -> str:
    if entry is not None:
        return entry.state
    if one.job is None:
        return "not submitted"
    return "COMPLETED" if is_finished(place) else "ended"


def is_finished(place: Path) -> bool:
    """Whether its own files say so: the job script's, or a run's."""
    if (place / CODE).is_file() and (place / CODE).read_text().strip() == "0":
        return True
    return (place / "metrics.json").is_file() and runs.state(place).finished


def _progress(place: Path) -> tuple[str, str]:
    if not (place / "config.yaml").is_file():
        return "", ""
    found = runs.state(place)
    error = "" if found.error is None else f"{found.error:.4g}"
    return f"{found.done}/{found.planned or '?'}", error


def _note(one: Record, entry: Entry | None, place: Path) -> str:
    if entry is None and one.job is None:
        return f"sbatch {one.folder / SCRIPT}"
    if entry is not None and entry.state == "RUNNING":
        return f"on {entry.nodes}, {entry.left} left"
    if entry is not None and (entry.is_active or entry.state == "COMPLETED"):
        return entry.reason
    if entry is None and is_finished(place):
        return ""
    last = _last_line(place)
    return last or (entry.reason if entry else "")


def _last_line(place: Path) -> str:
    """The last thing that a failed run said of itself."""
    log = place / LOG
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    own = [line for line in lines if line.strip() and not line.startswith(("srun: ", "slurm"))]
    ours = [line for line in own if line.startswith("sciml: ")]
    return (ours or own or [""])[-1][:160]


def is_over(one: Record) -> bool:
    """Whether SLURM has nothing more to do for it."""
    return not any(entry.is_active for entry in one.entries().values())


def outcome(one: Record) -> str:
    """`active`, `finished` or `failed`: what a job that waits for it has to know."""
    known = one.entries()
    if any(entry.is_active for entry in known.values()):
        return "active"
    if known and all(entry.state == "COMPLETED" for entry in known.values()):
        return "finished"
    done = all(is_finished(place) for place in one.places().values())
    return "finished" if done and not known else "failed"


def cancel(run: str) -> str:
    """Cancels what SLURM still has of a run; says what is left.

    Raises:
        UserError: it has nothing, or scancel refuses.
    """
    one = record.find(run)
    if one.name is None or is_over(one):
        raise UserError(f"{run} has no job that waits or runs; 'sciml status {run}' tells more")
    answer = queue.ask(["scancel", one.name])
    if answer.returncode != 0:
        raise UserError(f"scancel: {queue.said(answer)}")
    return f"cancelled job {one.name}; sbatch {one.folder / SCRIPT} goes on from what is saved"


def logs(run: str, follow: bool) -> None:
    """Prints what a run has said, and what it goes on to say until it is over."""
    one = record.find(run)
    files = one.logs()
    if not follow:
        written = [file for file in files if file.is_file()]
        if not written:
            raise UserError(f"{run} has no log yet: it has not started; sciml status {run}")
        for file in written:
            print(f"==> {file} <==") if len(files) > 1 else None
            sys.stdout.write(file.read_text(encoding="utf-8", errors="replace"))
        return
    if len(files) > 1:
        raise UserError(f"logs: expected one member to follow, got an array; give {run}/0")
    if not files[0].is_file():
        print(f"job {one.name} has not started", file=sys.stderr)
    with suppress(KeyboardInterrupt):  # the job does not hear of it
        for text in _followed(files[0], one):
            sys.stdout.write(text)
            sys.stdout.flush()


def _followed(file: Path, one: Record) -> Iterator[str]:
    """The text of a log as it grows; ends when the job is over and everything was read."""
    place, over, asked = 0, False, 0.0
    while True:
        if file.is_file():
            with file.open(encoding="utf-8", errors="replace") as lines:
                lines.seek(place)
                text = lines.read()
                place = lines.tell()
            if text:
                yield text
        if over:
            return
        if time.monotonic() - asked > _ASK_EVERY:
            over, asked = is_over(one), time.monotonic()
        else:
            time.sleep(_LOOK_EVERY)
