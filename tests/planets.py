"""Small planets for the cases of fields on the globe: made once for a module, in its own folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sciml import runs
from sciml.catalogue import SEARCH_VARIABLE

#: What makes a simulated set of four trajectories, and a network on it, small.
SMALL = [
    *("archive.make.n_lat=16", "archive.make.train=2", "archive.make.validation=1"),
    *("archive.make.test=1", "archive.make.days=2", "archive.make.spin_up=0.5"),
    *("system.truncation=10", "windows.split.train=[0,2]", "windows.split.validation=[2,3]"),
    *("windows.split.test=[3,4]", "evaluation.steps=[1,4]", "evaluation.degrees=[3]"),
    *("network.width=8", "network.layers=1", "network.refinement=1"),
]


@contextmanager
def alone(folder: Path) -> Iterator[Path]:
    """The current folder, data and staged arrays are in `folder`, and no other cases are seen."""
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setenv("SCIML_DATA", str(folder / "data"))
    patch.setenv("SCIML_STAGE", str(folder / "staged"))
    for variable in (SEARCH_VARIABLE, "HYDRA_FULL_ERROR", runs.VARIABLE):
        patch.setenv(variable, "")
    yield folder
    patch.undo()
