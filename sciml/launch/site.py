"""What a cluster wants to be told: `hpc/sites/NAME.yaml`, changed by `hpc.KEY=VALUE`.

Values are read as text and given their types here: YAML itself takes 10:00:00 for 36000.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, final

from sciml import catalogue
from sciml.contracts import UserError

_WHOLE = ("nodes", "devices", "cpus_per_task", "signal_before")
_LISTS = ("modules", "setup", "sbatch", "srun")
_FREE = ("scratch", "python")
_PLAIN = re.compile(r"[\w.,:&|*()\[\]@+%/=-]+")
_PATH = re.compile(r"[/$~][\w./${}~+-]*")
_VARIABLE = re.compile(r"[A-Za-z_]\w*")
_ASKED = "???"


@final
@dataclass(frozen=True)
class Site:
    """What is asked of SLURM, for one job.

    Args:
        account: the project that pays; a file that says ??? has the user name it.
        partition, qos, constraint: as the site calls them; left out where null.
        time: limit: MM, MM:SS, HH:MM:SS or D-HH:MM:SS.
        nodes: nodes.
        devices: ranks on a node, one for each GPU where there are GPUs.
        accelerator: "cpu" or "gpu".
        gpus: the option that asks for `devices` GPUs on a node: "gpus-per-node" or "gres".
        cpus_per_task: cores of a rank.
        memory: of a node, such as 32G; the site's default where null.
        signal_before: seconds before the limit at which the run is asked to save; SLURM is up to a
            minute late.
        scratch: folder under which run folders are made, such as $SCRATCH/sciml; ./runs where null.
        node_disk: folder on a node's own disk, such as $SLURM_TMPDIR/sciml, to which training
            arrays are copied, once for all ranks of the node; its variables are read there. No
            copies where null.
        python: interpreter on the nodes; the one that submits where null.
        modules: loaded before the run.
        setup: lines of shell, run as they stand.
        environment: variables for the run.
        sbatch, srun: further options, such as --hint=nomultithread.
    """

    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: str = "01:00:00"
    nodes: int = 1
    devices: int = 1
    accelerator: str = "cpu"
    gpus: str = "gpus-per-node"
    cpus_per_task: int = 1
    memory: str | None = None
    signal_before: int = 120
    scratch: str | None = None
    node_disk: str | None = None
    python: str | None = None
    modules: Sequence[str] = ()
    setup: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    sbatch: Sequence[str] = ()
    srun: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name in ("nodes", "devices", "cpus_per_task"):
            if getattr(self, name) < 1:
                raise UserError(f"hpc.{name}: expected >= 1, got {getattr(self, name)}")
        for name, known in (("accelerator", ("cpu", "gpu")), ("gpus", ("gpus-per-node", "gres"))):
            if getattr(self, name) not in known:
                given = getattr(self, name)
                raise UserError(f"hpc.{name}: expected {known[0]} or {known[1]}, got {given!r}")
        for name in ("account", "partition", "qos", "constraint", "time", "memory"):
            value = getattr(self, name)
            if value is not None and not _PLAIN.fullmatch(value):
                raise UserError(f"hpc.{name}: expected a name without spaces, got {value!r}")
        for name in ("sbatch", "srun"):
            for option in getattr(self, name):
                if not option.startswith("-") or "\n" in option:
                    raise UserError(
                        f"hpc.{name}: expected options such as --exclusive, got {option!r}"
                    )
        if self.node_disk is not None and not _PATH.fullmatch(self.node_disk):
            raise UserError(
                f"hpc.node_disk: expected a whole path or one that begins with a variable, got "
                f"{self.node_disk!r}"
            )
        for name in self.environment:
            if not _VARIABLE.fullmatch(name):
                raise UserError(f"hpc.environment: expected names of variables, got {name!r}")
        self._require_time()

    def _require_time(self) -> None:
        """Refuses a limit that leaves no time between start and the signal to save."""
        if self.seconds <= 2 * self.signal_before:
            raise UserError(
                f"hpc.time: expected more than twice the {self.signal_before} s before the limit "
                f"at which the run is asked to save, got {self.time}; set a longer hpc.time or a "
                "shorter hpc.signal_before"
            )

    @property
    def ranks(self) -> int:
        """Processes of a run."""
        return self.nodes * self.devices

    @property
    def seconds(self) -> int:
        """The time limit, s."""
        return seconds(self.time)

    @property
    def trainer(self) -> dict[str, Any]:
        """What the trainer has to know of it: the same figures that sbatch is given."""
        return {"accelerator": self.accelerator, "devices": self.devices, "nodes": self.nodes}


def seconds(time: str) -> int:
    """A time limit as sbatch writes it, in seconds.

    Raises:
        UserError: it is none.
    """
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", time)
    if not found:
        raise UserError(f"hpc.time: expected HH:MM:SS or D-HH:MM:SS, got {time!r}")
    days, first, second, third = (None if n is None else int(n) for n in found.groups())
    if days is not None:
        return days * 86400 + first * 3600 + (second or 0) * 60 + (third or 0)
    if third is not None:
        return first * 3600 + second * 60 + third
    return first * 60 + (second or 0)


def load(name: str, changes: Mapping[str, str]) -> Site:
    """The site `name`, or of the file `name`, with the keys that the command line changes.

    Args:
        changes: key without `hpc.` → text.

    Raises:
        UserError: unknown site or key, a value of another kind, or one that has to be given.
    """
    values, changed = _read(_file(name)), _nested(changes)
    if isinstance(changed.get("environment"), dict):
        changed["environment"] = {**(values.get("environment") or {}), **changed["environment"]}
    values |= changed
    known = {entry.name: entry for entry in fields(Site)}
    made = {}
    for key, value in values.items():
        if key not in known:
            hint = catalogue.suggestion(key, known) or f"; there are {', '.join(known)}"
            raise UserError(f"hpc.{key}: expected a key of a site, got '{key}'{hint}")
        if value == _ASKED:
            raise UserError(
                f"hpc.{key}: {name} has to be told yours; give hpc.{key}=…, or write it into a "
                "copy of the site's file under ./hpc/sites"
            )
        made[key] = _typed(key, value, known[key].default)
    return Site(**made)


def _file(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"hpc: expected the file of a site, got '{name}', which is not there")
        return Path(name)
    known = catalogue.sites()
    if name not in known:
        hint = catalogue.suggestion(name, known) or f"; there are {', '.join(known)}"
        raise UserError(
            f"hpc: expected the name of a site ('sciml list sites'), got '{name}'{hint}"
        )
    return known[name]


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise UserError(f"{file}: expected keys and values")
    return found


def _nested(changes: Mapping[str, str]) -> dict[str, Any]:
    """`environment.NAME=VALUE` as one mapping; lists and mappings are read as YAML."""
    import yaml

    found: dict[str, Any] = {}
    for key, text in changes.items():
        first, _, rest = key.partition(".")
        if rest and first == "environment":
            found.setdefault(first, {})[rest] = text
        else:
            is_text = first not in (*_LISTS, "environment")
            found[key] = text if is_text else yaml.load(text, Loader=yaml.BaseLoader)
    return found


def _typed(key: str, value: Any, default: Any) -> Any:
    if key == "environment" or key in _LISTS:
        kind, said = (dict, "names and values") if key == "environment" else (list, "a list")
        if value in ("", "null"):
            return kind()
        plain = isinstance(value, kind) and all(
            isinstance(item, str) for item in (value.values() if kind is dict else value)
        )
        if not plain:
            raise UserError(f"hpc.{key}: expected {said}, got {value!r}")
        return value
    if not isinstance(value, str):
        raise UserError(f"hpc.{key}: expected one value, got {value!r}")
    if value in ("", "null", "~"):
        if default is not None:
            raise UserError(f"hpc.{key}: expected a value, got none")
        return None
    if key in _WHOLE:
        if not value.isdigit():
            raise UserError(f"hpc.{key}: expected a whole number, got {value!r}")
        return int(value)
    return _expanded(key, value) if key in _FREE else value


def _expanded(key: str, path: str) -> str:
    """A path with its variables, which have to be set where it is submitted."""
    expanded = os.path.expanduser(os.path.expandvars(path))
    if "$" in expanded:
        raise UserError(f"hpc.{key}: a variable of {path} is not set here; give hpc.{key}=PATH")
    return expanded
