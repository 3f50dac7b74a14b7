"""The command `sciml`; standard library only at import, so that `--help` and `list` answer at once.

A mistake of the user's is one line on stderr and exit code 2; a bug is a traceback and exit code 1.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from sciml import catalogue
from sciml.contracts import UserError
from sciml.launch import commands as launch

_FLAGS = {"-m", "--multirun", "--resolve"}
_FLAGS_WITH_VALUE = {"-c", "--cfg", "-p", "--package"}
_SHOWN = ("job", "hydra", "all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns 0 done, 2 the user's mistake, 3 diverged, 75 saved and stopped by
    a signal, 130 interrupted.
    """
    try:
        return _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as end:  # Lightning exits with 1 while it handles the interrupt
        if isinstance(end.__context__, KeyboardInterrupt):
            return _interrupted()
        raise
    except BrokenPipeError:  # the reader of our output has gone: `sciml list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from sciml.diagnosis import TRACEBACK, for_user, one_line

        ours = for_user(error)
        if ours is None or os.environ.get(TRACEBACK):
            raise
        print(f"sciml: {one_line(ours)}", file=sys.stderr)
        return int(getattr(ours, "exit_code", 1))


def _interrupted() -> int:
    said = "the same run_dir goes on from its last checkpoint, where one was saved"
    print(f"sciml: interrupted; {said}", file=sys.stderr)
    return 130


def _dispatch(arguments: list[str]) -> int:
    parser = _parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        hint = catalogue.suggestion(arguments[0], _COMMANDS)
        raise UserError(f"expected a command ({known}), got '{arguments[0]}'{hint}")
    if not arguments:
        parser.print_help()
        return 0
    wants_help = {"-h", "--help"} & set(arguments)
    if arguments[0] in ("run", "show") and not wants_help:
        _COMMANDS[arguments[0]](_split(arguments[0], arguments[1:]))
        return 0
    if arguments[0] == "submit" and not wants_help:
        if "--" in arguments:
            _require_command(arguments[arguments.index("--") + 1 :], parser)
        launch.submit(arguments[1:])
        return 0
    options = parser.parse_args(arguments)
    options.words = arguments
    _COMMANDS[options.command](options)
    return 0


def _require_command(words: list[str], parser: argparse.ArgumentParser) -> None:
    """Refuses what would only be refused once its job has begun."""
    inner = [name for name in _COMMANDS if name not in ("submit", "resume")]
    if not words or words[0] not in inner:
        got = f"'{words[0]}'" if words else "none"
        hint = catalogue.suggestion(words[0], inner) if words else ""
        raise UserError(f"submit: expected another command of sciml after --, got {got}{hint}")
    if words[0] in ("run", "show"):
        _split(words[0], words[1:])
    else:
        parser.parse_args(words)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see '{self.prog} --help'")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sciml", description="Trains, evaluates and carries away scientific models."
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, what: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=what, description=what)

    listing = command("list", "list cases, runs, or the choices of a group")
    listing.add_argument("kind", nargs="?", help="cases (default), runs, balancers, optimizers …")
    for name, what in (
        ("show", "print the configuration, with the file that each value came from"),
        ("run", "train, evaluate, write the run folder"),
    ):
        running = command(name, what)
        running.add_argument("case", metavar="CASE", help="folder/variant, or folder")
        running.add_argument("override", metavar="key=value", nargs="*", help="change a key")
    running.add_argument("-m", "--multirun", action="store_true", help="sweep: key=a,b,c")
    running.add_argument("-c", "--cfg", metavar="job", help="print the configuration, run nothing")
    evaluate = command("evaluate", "compute the metrics of a run again, from its checkpoint")
    evaluate.add_argument("run", metavar="RUN", help="run folder")
    compare = command("compare", "one table and one figure over several runs")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="run folders")
    compare.add_argument("--out", default="compare.png", metavar="FILE", help="the figure")
    export = command("export", "write the trained model as a bundle that runs without sciml")
    export.add_argument("run", metavar="RUN", help="run folder")
    export.add_argument("--to", required=True, metavar="FOLDER", help="where the bundle goes")
    export.add_argument("--format", default="pt2,onnx", help="of pt2, onnx, torchscript")
    export.add_argument("--force", action="store_true", help="replace an older bundle")
    _forecasting(command)
    launch.describe(command)
    completion = command(
        "completion", "print completion for a shell: source <(sciml completion bash)"
    )
    completion.add_argument("shell", choices=("bash", "zsh"))
    return parser


def _forecasting(command: Callable[[str, str], argparse.ArgumentParser]) -> None:
    """The commands for fields on the globe, and for data sets."""
    forecast = command("forecast", "run a trained model ahead and write the forecasts")
    forecast.add_argument("run", metavar="RUN", help="run folder")
    forecast.add_argument("--start", required=True, metavar="TIME[,TIME…]", help="initial times")
    forecast.add_argument("--steps", required=True, type=int, metavar="N", help="steps ahead")
    forecast.add_argument("--out", required=True, metavar="FILE", help="FILE.zarr or FILE.nc")
    forecast.add_argument("--data", metavar="ARCHIVE", help="initial states; the run's own if left")
    forecast.add_argument(
        "--ranks", type=int, default=1, metavar="N", help="processes that share the work"
    )
    forecast.add_argument("--members", type=int, metavar="M", help="an ensemble of so many")
    kinds = ("perturbed", "lagged", "sampled")
    forecast.add_argument(
        "--ensemble",
        dest="kind",
        choices=kinds,
        help="how its members differ; as the run was trained if left",
    )
    forecast.add_argument("--lag", type=float, metavar="HOURS", help="between lagged members")
    forecast.add_argument("--amplitude", type=float, metavar="A", help="of noise, in increments")
    score = command("score", "judge forecasts by the truth: a table, JSON and figures")
    score.add_argument("forecast", metavar="FORECAST", help="a store that sciml forecast wrote")
    score.add_argument("truth", metavar="TRUTH", help="the archive to compare with")
    score.add_argument("--to", default="scores", metavar="FOLDER", help="where the results go")
    data = command("data", "list, make or download data sets")
    kinds = data.add_subparsers(dest="action", metavar="list|make|get", required=True)
    kinds.add_parser("list", help="all sets, and which are here")
    making = kinds.add_parser("make", help="make a set: simulated, or solved for")
    making.add_argument("name", metavar="NAME")
    making.add_argument("arguments", metavar="key=value", nargs="*", help="of its function")
    getting = kinds.add_parser("get", help="download a set and check it")
    getting.add_argument("name", metavar="NAME")
    for parser in (making, getting):
        parser.add_argument("--out", metavar="PATH", help="where it goes; runs/data if left")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import sciml

        print(f"sciml {sciml.__version__}")
        parser.exit()


def _split(command: str, words: Sequence[str]) -> argparse.Namespace:
    """`CASE key=value … flags` in any order; Hydra wants its flags before the overrides."""
    flags: list[str] = []
    plain: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _FLAGS and command == "run":
            flags.append(word)
        elif word in _FLAGS_WITH_VALUE and command == "run":
            flags += [word, _value(word, next(rest, ""))]
        elif word.startswith("-"):
            known = sorted(_FLAGS | _FLAGS_WITH_VALUE) if command == "run" else []
            hint = catalogue.suggestion(word, known)
            options = f"an option of 'sciml {command} --help'"
            raise UserError(f"{command}: expected {options}, got '{word}'{hint}")
        else:
            plain.append(word)
    cases = [word for word in plain if "=" not in word and not word.startswith("~")]
    overrides = [word for word in plain if word not in cases]
    if not cases:
        raise UserError(f"{command}: expected the name of a case, got none; see 'sciml list cases'")
    if len(cases) > 1:
        if any(word.startswith("=") or word.endswith("=") for word in overrides):
            raise UserError(
                f"{command}: expected key=value with no spaces around =, got '{' '.join(plain)}'"
            )
        raise UserError(
            f"{command}: expected one case and key=value …, got '{cases[0]}' and '{cases[1]}'; "
            "several cases are written A,B with -m"
        )
    names = [catalogue.find_case(name).name for name in cases[0].split(",")]
    if len(names) > 1 and not {"-m", "--multirun"} & set(flags):
        raise UserError(f"{command}: several cases need -m, got {cases[0]}")
    if {"-m", "--multirun"} & set(flags) and {"-c", "--cfg"} & set(flags):
        raise UserError("run: expected either -m or --cfg, got both; leave one out")
    return argparse.Namespace(cases=names, overrides=overrides, flags=flags)


def _value(flag: str, given: str) -> str:
    """What follows a flag; of `--cfg` Hydra knows three."""
    if not given or (flag in ("-c", "--cfg") and given not in _SHOWN):
        known = f"one of {', '.join(_SHOWN)}" if flag in ("-c", "--cfg") else "a value"
        hint = catalogue.suggestion(given, _SHOWN)
        raise UserError(f"run: expected {known} after {flag}, got '{given}'{hint}")
    return given


def _list(options: argparse.Namespace) -> None:
    listed = catalogue.kinds()
    kind = options.kind or "cases"
    kind = kind if kind in listed else catalogue.plural(kind)
    if kind == "runs":
        from sciml.tables import overview

        print(overview())
        return
    if kind not in listed:
        names = [*listed, "runs"]
        hint = catalogue.suggestion(kind, names)
        raise UserError(f"list: expected one of {', '.join(names)}, got '{options.kind}'{hint}")
    width = max(map(len, listed[kind]), default=0)
    for name, what in listed[kind].items():
        print(f"{name.ljust(width)}  {what}".rstrip())


def _show(options: argparse.Namespace) -> None:
    from sciml import compose

    print(compose.show(options.cases[0], options.overrides))


def _run(options: argparse.Namespace) -> None:
    from sciml.diagnosis import check_choices, check_form

    check_form(options.overrides)
    check_choices(options.overrides)
    from sciml import compose

    compose.main(options.cases, options.overrides, options.flags)


def _evaluate(options: argparse.Namespace) -> None:
    _run_folder(options.run)
    from sciml import compose

    compose.evaluate(options.run)


def _compare(options: argparse.Namespace) -> None:
    from sciml.tables import comparison

    folders = [Path(run) for run in options.runs]
    print(comparison(folders))
    from sciml.report import compare

    compare.figure(folders, Path(options.out))
    print(f"figure: {options.out}")


def _export(options: argparse.Namespace) -> None:
    _run_folder(options.run)
    from sciml import compose

    compose.export(options.run, options.to, options.format.split(","), options.force)


def _run_folder(path: str) -> None:
    from sciml.runs import load_config

    load_config(path)


def _forecast(options: argparse.Namespace) -> None:
    _run_folder(options.run)
    from sciml.launch import local

    if local.are_to_start(options.ranks):
        local.together(options.words, options.ranks)
        return
    from sciml import compose, runs

    told = {name: getattr(options, name) for name in ("members", "kind", "lag", "amplitude")}
    ensemble = told if set(told.values()) != {None} else None
    starts = options.start.split(",")
    out = compose.forecast(options.run, starts, options.steps, options.out, options.data, ensemble)
    if runs.rank() == 0:
        print(f"forecast: {out}")


def _score(options: argparse.Namespace) -> None:
    from sciml.globe import score

    print(score.write(options.forecast, options.truth, Path(options.to)))


def _data(options: argparse.Namespace) -> None:
    from sciml import datasets

    if options.action == "list":
        print(datasets.overview())
    elif options.action == "make":
        print(datasets.make(options.name, options.out, options.arguments))
    else:
        print(datasets.get(options.name, options.out))


def _submit(options: argparse.Namespace) -> None:
    flags = ["-m"] if options.multirun else []
    launch.submit([*filter(None, [options.case]), *options.override, *flags])


def _completion(options: argparse.Namespace) -> None:
    from sciml.completion import script

    print(script(options.shell, list(_COMMANDS)))


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "list": _list,
    "show": _show,
    "run": _run,
    "evaluate": _evaluate,
    "compare": _compare,
    "export": _export,
    "forecast": _forecast,
    "score": _score,
    "data": _data,
    "submit": _submit,
    "status": launch.status,
    "logs": launch.logs,
    "cancel": launch.cancel,
    "resume": launch.resume,
    "completion": _completion,
}
