"""What a submitted run's folder knows of its job: `job.json` and `job.id`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from sciml import atomic
from sciml.contracts import UserError
from sciml.launch.queue import Entry, entries
from sciml.launch.script import LOG

RECORD, ID = "job.json", "job.id"


@final
@dataclass(frozen=True)
class Record:
    """A job of a folder.

    Args:
        folder: that holds the job script.
        title: what it is.
        job: SLURM's number; None where it was written and not submitted.
        members: of an array, what each changes; None for one job.
        index: the member that is meant; None for the whole.
    """

    folder: Path
    title: str
    job: str | None
    members: Sequence[str] | None = None
    index: int | None = None

    @property
    def name(self) -> str | None:
        """The number as scancel and squeue take it."""
        return self.job if self.job is None or self.index is None else f"{self.job}_{self.index}"

    def places(self) -> dict[int | None, Path]:
        """The run folders by member; that of a single job under None."""
        if self.members is None:
            return {None: self.folder}
        chosen = range(len(self.members)) if self.index is None else [self.index]
        return {index: self.folder / str(index) for index in chosen}

    def logs(self) -> list[Path]:
        return [place / LOG for place in self.places().values()]

    def entries(self) -> dict[int | None, Entry]:
        """What SLURM says of each of `places`; what it has forgotten is left out."""
        found = {} if self.job is None else entries(self.job)
        return {index: found[index] for index in self.places() if index in found}


def write(folder: Path, title: str, members: Sequence[str] | None, command: Sequence[str]) -> None:
    """Writes `job.json`; what an earlier job of the folder left is gone."""
    import shlex

    from sciml.runs import write_json

    content = {"title": title, "members": members, "command": shlex.join(command)}
    write_json(folder / RECORD, content)
    (folder / ID).unlink(missing_ok=True)


def number(folder: Path, job: str) -> None:
    """Notes SLURM's number of the job that was submitted."""
    atomic.write(folder / ID, f"{job}\n")


def find(run: str | Path) -> Record:
    """The job of a run folder, or of a member of an array by its own folder.

    Raises:
        UserError: nothing was submitted from it.
    """
    folder = Path(run)
    if (folder / RECORD).is_file():
        return _read(folder, None)
    if folder.name.isdigit() and (folder.parent / RECORD).is_file():
        record = _read(folder.parent, int(folder.name))
        if record.members is not None and int(folder.name) < len(record.members):
            return record
    from sciml.catalogue import suggestion

    known = [str(place) for place in find_all()]
    raise UserError(
        f"expected the folder of a submitted run ('sciml status' shows those under ./runs), got "
        f"'{run}', which holds no {RECORD}{suggestion(str(run), known)}"
    )


def find_all(root: str | Path = "runs") -> list[Path]:
    """Folders with a job under `root`, oldest name first."""
    return [file.parent for file in sorted(Path(root).glob(f"**/{RECORD}"))]


def _read(folder: Path, index: int | None) -> Record:
    content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    job = (folder / ID).read_text(encoding="utf-8").strip() if (folder / ID).is_file() else None
    return Record(folder, content["title"], job or None, content.get("members"), index)
