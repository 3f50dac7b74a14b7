"""The commands of the command line that deal with SLURM, and `resume`, which a job carries out."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from sciml import catalogue
from sciml.contracts import Interrupted, UserError

MARK = ".interrupted"  # in a run folder: everything is saved, and the job script requeues


def describe(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """Adds the commands' parsers."""
    submit = command("submit", "write a job script for a cluster and submit it")
    submit.add_argument("case", metavar="CASE", nargs="?", help="folder/variant, or folder")
    submit.add_argument(
        "override",
        metavar="key=value",
        nargs="*",
        help="hpc=SITE; hpc.KEY=… of the site; nodes=N; run_dir=PATH; submit=false to write only; "
        "check=false; after=RUN,RUN; throttle=K of a sweep; any other is of the case",
    )
    submit.add_argument("-m", "--multirun", action="store_true", help="sweep as one job array")
    status = command("status", "the state of submitted runs")
    status.add_argument("runs", metavar="RUN", nargs="*", help="run folders; all if left")
    logs = command("logs", "what a submitted run has said")
    logs.add_argument("run", metavar="RUN", help="run folder, of an array RUN/0")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until it is over")
    cancel = command("cancel", "cancel a submitted run")
    cancel.add_argument("run", metavar="RUN", help="run folder, of an array also RUN/0")
    resume = command("resume", "carry out what a run folder's config.yaml describes, or go on")
    resume.add_argument("run", metavar="RUN", help="run folder")


def submit(words: list[str]) -> None:
    """`CASE key=value … [-m]`, or `key=value … -- COMMAND …`."""
    from sciml.launch import submit as launch

    typed = ["sciml", "submit", *words]
    if "--" in words:
        at = words.index("--")
        launch.submit_command(words[:at], words[at + 1 :], typed)
        return
    flags = [word for word in words if word in ("-m", "--multirun")]
    unknown = [word for word in words if word.startswith("-") and word not in flags]
    if unknown:
        raise UserError(
            f"submit: expected an option of 'sciml submit --help', got '{unknown[0]}'"
            f"{catalogue.suggestion(unknown[0], ['-m', '--multirun'])}"
        )
    plain = [word for word in words if word not in flags]
    cases = [word for word in plain if "=" not in word and not word.startswith("~")]
    if len(cases) != 1:
        got = "none" if not cases else f"'{cases[0]}' and '{cases[1]}'"
        raise UserError(f"submit: expected the name of a case, got {got}; see 'sciml list cases'")
    names = [catalogue.find_case(name).name for name in cases[0].split(",")]
    if len(names) > 1 and not flags:
        raise UserError(f"submit: several cases need -m, got {cases[0]}")
    launch.submit(names, [word for word in plain if word not in cases], bool(flags), typed)


def status(options: argparse.Namespace) -> None:
    from sciml.launch.status import table

    print(table(options.runs))


def logs(options: argparse.Namespace) -> None:
    from sciml.launch.status import logs as show

    show(options.run, options.follow)


def cancel(options: argparse.Namespace) -> None:
    from sciml.launch.status import cancel as stop

    print(stop(options.run))


def resume(options: argparse.Namespace) -> None:
    """Carries out a run in a job; a signal from now on is kept until the training has begun."""
    from sciml.launch import signals

    signals.install()
    from sciml import compose, runs

    try:
        compose.resume(options.run)
    except Interrupted as interrupted:
        if runs.rank() > 0:  # the first one's word is enough, and its end must not be cut short
            sys.exit(0)
        from sciml import atomic

        atomic.write(Path(options.run) / MARK, f"{interrupted}\n")
        raise
