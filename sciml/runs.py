"""The run folder, the contract between all commands: configuration, provenance, metrics.

Opening a folder that already holds the same run goes on with it; one that holds another is refused.
"""

import csv
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sciml import atomic
from sciml.contracts import UserError
from sciml.provenance import describe

ROOT = "runs"
#: Set by the first process of a run, so that the processes it starts find its folder.
VARIABLE = "SCIML_RUN"
#: Differing keys that a refusal names beside the first.
NAMED = 5

_REFERENCE = re.compile(r"\$\{(\w+)\}")
_ABSENT = "(absent)"


def rank() -> int:
    """This process's number among those of one run; 0 writes the files."""
    names = ("RANK", *(("SLURM_PROCID",) if _slurm_tasks() > 1 else ()), "LOCAL_RANK")
    for name in names:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def _slurm_tasks() -> int:
    """Processes of one `srun`; a batch script, which is one process, does not have the variable."""
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))


def open_run(path: str | Path | None, config: Mapping[str, Any], command: Sequence[str]) -> Path:
    """The folder of a run, made or found again; writes `config.yaml` and `provenance.json`.

    Args:
        path: the folder; None makes a new one, `runs/CASE/TIME`.
        config: composed, interpolations kept, plain dicts and lists.
        command: what to type to run it again.

    Raises:
        UserError: the folder holds another run, or cannot be written.
    """
    case = str(config.get("case") or "unnamed")
    if rank() > 0:
        return _folder_of_first(path, case)
    folder = make(Path(path)) if path else _make_new(case)
    earlier = load_config(folder) if (folder / "config.yaml").exists() else None
    if earlier is not None:
        refuse_other(folder, config, earlier)
    facts = describe(config, command)
    first = provenance(folder)
    if first:
        first.setdefault("continued", []).append(facts)
    write_json(folder / "provenance.json", first or facts)
    write_config(folder, config)
    os.environ[VARIABLE] = str(folder)
    return folder


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Writes `config.yaml`: what `sciml resume` carries out."""
    atomic.write(folder / "config.yaml", _yaml(config))


def check_run(path: str | Path | None, config: Mapping[str, Any]) -> None:
    """Refuses a folder that holds another run or cannot be written, before anything expensive."""
    folder = Path(path or ROOT).absolute()
    if path and (folder / "config.yaml").exists():
        refuse_other(Path(path), config, load_config(folder))
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        raise UserError(f"run_dir: expected a folder, got the file {existing}; give another")
    if not os.access(existing, os.W_OK):
        raise UserError(f"run_dir: no permission to write to {existing}; give another")


def refuse_other(folder: Path, config: Mapping[str, Any], earlier: Mapping[str, Any]) -> None:
    """Compares what decides the result: not `run_dir`, `trainer`, `published`; steps may grow.

    Raises:
        UserError: naming the keys that differ, the first with both values.
    """
    was, now = flat(earlier), flat(config)
    growing = _growing(now)
    differing = []
    for key in dict.fromkeys([*now, *was]):
        old, new = was.get(key, _ABSENT), now.get(key, _ABSENT)
        if old == new or key == "run_dir" or key.startswith(("trainer.", "published")):
            continue
        if key in growing and _is_number(old) and _is_number(new) and new > old:
            continue
        differing.append((key, old, new))
    if not differing:
        return
    key, old, new = differing[0]
    others = [name for name, _, _ in differing[1:]]
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    also = f", and other {', '.join(others[:NAMED])}{more}" if others else ""
    raise UserError(
        f"{folder} holds a run with {key}={old}, got {key}={new}{also}; "
        "give another run_dir, or the same configuration to go on with it"
    )


def _growing(config: Mapping[str, Any]) -> set[str]:
    """`phases.*.steps` and the top keys that they refer to."""
    steps = [key for key in config if re.fullmatch(r"phases\.\w+\.steps", key)]
    matches = (_REFERENCE.fullmatch(str(config[key])) for key in steps)
    return {*steps, *(match.group(1) for match in matches if match)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def flat(config: Any, path: str = "") -> dict[str, Any]:
    """Nested dicts as `{"network.width": 50, …}`; lists are values."""
    if isinstance(config, Mapping) and config:
        items = (
            flat(value, f"{path}.{key}" if path else str(key)) for key, value in config.items()
        )
        return {key: value for part in items for key, value in part.items()}
    return {path: config}


def make(folder: Path) -> Path:
    """The folder, made where it is not there.

    Raises:
        UserError: it is a file, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UserError(
            f"run_dir: expected a folder, got the file {folder}; give another"
        ) from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _make_new(case: str) -> Path:
    shared = shared_id()
    return make(Path(ROOT) / case / shared) if shared else make_new(Path(ROOT) / case)


def make_new(parent: Path) -> Path:
    """A folder named by the time in `parent`, which nobody else has."""
    name = datetime.now().strftime("%Y%m%d-%H%M%S")
    for candidate in (name, *(f"{name}-{i}" for i in range(2, 10_000))):
        folder = parent / candidate
        try:  # making it is the test, so two runs in one second differ
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(folder, error) from error
    raise UserError(f"{parent}: no free name for a new run; give run_dir=PATH")


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"run folder {folder} cannot be made: {atomic.reason(error)}; give another run_dir"
    )


def shared_id() -> str | None:
    """A name that all processes of one SLURM job agree on without talking; None for one process."""
    if _slurm_tasks() > 1:
        return f"slurm-{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_STEP_ID', '0')}"
    return None


def known_folder(path: str | Path | None, case: str) -> Path | None:
    """The folder of a run where its name is known beforehand; None for one that gets a new one."""
    shared = shared_id()
    return Path(path) if path else Path(ROOT) / case / shared if shared else None


def _folder_of_first(path: str | Path | None, case: str) -> Path:
    if path or VARIABLE in os.environ:
        return Path(path or os.environ[VARIABLE])
    known = known_folder(path, case)
    if known:
        return known
    raise UserError(
        "several processes need one run folder, got none; give run_dir=PATH to all of them"
    )


def load_config(run: str | Path) -> dict[str, Any]:
    """The configuration of a run folder, interpolations kept.

    Raises:
        UserError: it is no run folder.
    """
    import yaml

    file = Path(run) / "config.yaml"
    if not file.is_file():
        known = [str(folder) for folder in find_runs()]
        from sciml.catalogue import suggestion

        raise UserError(
            f"expected a run folder ('sciml list runs' shows those under ./runs), got '{run}', "
            f"which holds no config.yaml{suggestion(str(run), known)}"
        )
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise UserError(f"{file}: expected keys and values, got {type(config).__name__}")
    return config


def _yaml(config: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes JSON atomically; NaN and infinity, which JSON lacks, become null."""
    clean = {key: _finite(value) for key, value in content.items()}
    atomic.write(file, json.dumps(clean, indent=2, ensure_ascii=False, default=str) + "\n")


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_metrics(run: str | Path) -> dict[str, Any]:
    """`metrics.json` of a run folder.

    Raises:
        UserError: there is none yet.
    """
    file = Path(run) / "metrics.json"
    if not file.is_file():
        load_config(run)
        raise UserError(f"{run} holds no metrics.json; run 'sciml evaluate {run}' first")
    return json.loads(file.read_text(encoding="utf-8"))


def provenance(run: str | Path) -> dict[str, Any]:
    """`provenance.json` of a run folder; empty where there is none."""
    file = Path(run) / "provenance.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


@dataclass(frozen=True)
class State:
    """What a glance at a run folder tells; None where its files do not say."""

    case: str | None
    done: int
    planned: int | None
    error: float | None

    @property
    def finished(self) -> bool:
        return self.planned is not None and self.done >= self.planned


def state(run: Path) -> State:
    """Case, steps and first relative error, read as text and JSON: no YAML is loaded for a list."""
    text = (run / "config.yaml").read_text(encoding="utf-8", errors="replace")
    case = re.search(r"^case: (\S+)$", text, re.MULTILINE)
    metrics = _metrics_or_none(run)
    steps = metrics.get("steps")
    errors = [value for name, value in metrics.items() if name.startswith("rel_l2")]
    return State(
        case.group(1) if case else None,
        max(int(steps or 0), _last_step(run / "history.csv")),
        _planned(text),
        errors[0] if errors and _is_number(errors[0]) else None,
    )


def _metrics_or_none(run: Path) -> dict[str, Any]:
    try:
        found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_step(history: Path) -> int:
    """The last step in `history.csv`; 0 where there is none."""
    if not history.is_file():
        return 0
    with history.open(newline="", encoding="utf-8", errors="replace") as lines:
        steps = [row.get("step") or "" for row in csv.DictReader(lines)]
    return max((int(step) for step in steps if step.isdigit()), default=0)


def seconds_per_step(run: Path) -> float:
    """Wall-seconds of a step so far, by `history.csv`; 0 where it does not tell."""
    if not (run / "history.csv").is_file():
        return 0.0
    with (run / "history.csv").open(newline="", encoding="utf-8", errors="replace") as lines:
        last = (list(csv.DictReader(lines)) or [{}])[-1]
    try:
        return float(last["wall_s"]) / int(last["step"])
    except (KeyError, ValueError, ZeroDivisionError):
        return 0.0


def _planned(text: str) -> int | None:
    """The sum of `phases.*.steps` in a `config.yaml` as `open_run` writes it."""
    phases = re.search(r"^phases:\n((?:[ ].*\n?)+)", text, re.MULTILINE)
    found = re.findall(r"^ {4}steps: (\S+)$", phases.group(1) if phases else "", re.MULTILINE)
    values = []
    for value in found:
        name = _REFERENCE.fullmatch(value)
        top = re.search(rf"^{name.group(1)}: (\S+)$", text, re.MULTILINE) if name else None
        values.append(top.group(1) if top else value)
    return sum(map(int, values)) if values and all(v.isdigit() for v in values) else None


def find_runs(root: str | Path = ROOT) -> Iterator[Path]:
    """Run folders under `root`, oldest name first."""
    for file in sorted(Path(root).glob("**/config.yaml")):
        if (file.parent / "provenance.json").is_file():
            yield file.parent
