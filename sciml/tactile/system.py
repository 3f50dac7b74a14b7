"""Assembles a tactile case: scene + unknowns + recording → `contracts.System`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from sciml.contracts import LossTerms, System, UserError
from sciml.tactile import figures
from sciml.tactile.data import COMPARED, Presses, require_shares
from sciml.tactile.fingerprint import fingerprint
from sciml.tactile.inclusion import Inclusion
from sciml.tactile.materials import Material
from sciml.tactile.metric import Errors, Touch, Truth
from sciml.tactile.model import Simulation
from sciml.tactile.objective import Misfit
from sciml.tactile.predictor import Simulated
from sciml.tactile.scene import Scene
from sciml.tactile.sensor import Recording
from sciml.tactile.sensor.recording import read, simulated, write
from sciml.tactile.variation import TotalVariation
from sciml.tactile.vtk import require


def simulate(scene: Scene, film: bool = True, vtk: bool = False) -> System:
    """A simulation of which nothing is unknown: it is run once, and no phase trains it.

    Args:
        scene: what happens.
        film, vtk: what is written besides; see `figures.Figures`.

    Raises:
        UserError: `vtk` without meshio.
    """
    if vtk:
        require()
    return System(
        model=Simulation(scene),
        objective=Nothing(),
        data=Nothing(),
        metric=None,
        predictor=Simulated(),
        figures=figures.Figures(scene, film, vtk),
        summary=Touch(scene.sensor.surface),
    )


#: No phases: nothing in it is trained.
simulate.untrained = True  # type: ignore[attr-defined]


@final
@dataclass(frozen=True, eq=False)
class Press:
    """What was done to a gel at rest, in however many places, and what its sensor recorded."""

    scene: Scene
    recording: Recording


def identify(
    scene: Scene,
    law: Callable[..., Material],
    unknowns: Mapping[str, nn.Module],
    recording: Recording,
    noise: float = 0.01,
    add_noise: bool = False,
    truth: Truth | None = None,
    seed: int = 0,
    smooth: Mapping[str, float] | None = None,
    compared: Sequence[str] = COMPARED,
    more: Sequence[Press] = (),
) -> System:
    """Constants of a sensor from what it recorded.

    Args:
        scene: what was done; its path is the recording's.
        law: material of the gel from its constants, known ones given.
        unknowns: name → where it starts and its range (see `unknowns`).
        recording: markers and forces at the start and after every step of the path.
        noise: standard deviation as a share of the largest flow and force.
        add_noise: for recordings of a simulation, which have none.
        truth: values that made the recording, where they are known; of a field its `Inclusion`.
        seed: of the noise that is added.
        smooth: unknown field → the difference of logarithms below which its total variation, a
            loss term of its own, is quadratic (see `variation`).
        compared: "markers", "force", or both; a path that is given moves markers much alike
            whatever the stiffness, and they then bring in little but the mesh's error.
        more: further presses of the same gel, which count as much as the first; ranks share them.

    Raises:
        UserError: a recording of another number of times or markers than the scene's; variations
            of what is no unknown field; a field and presses on unlike meshes.
    """
    presses = [Press(scene, recording), *more]
    data = Presses([one.recording for one in presses], noise, seed, add_noise, compared)
    for press, seen in zip(presses, data.seen, strict=True):
        wanted = (press.scene.steps + 1, len(press.scene.sensor.markers), 2)
        if tuple(seen.markers.shape) != wanted:
            raise UserError(
                f"recording: expected markers [time, marker, pixel] = {list(wanted)}, as the scene "
                f"has, got {list(seen.markers.shape)}; give the scene the recording's path and "
                "markers"
            )
    model = Simulation([press.scene for press in presses], law, unknowns)
    _require_one_mesh(model)
    return System(
        model=model,
        objective=Misfit(_variations(model, smooth or {}), data.compared),
        data=data,
        metric=Errors(truth),
        predictor=Simulated(data.seen, truth),
        figures=figures.Figures(scene),
    )


def _require_one_mesh(model: Simulation) -> None:
    """Where a field is unknown, whose values belong to cells."""
    if all(not value.ndim for value in model.values().values()):
        return
    cells = [scene.sensor.elements.cells for scene in model.scenes]
    for number, one in enumerate(cells):
        if not np.array_equal(one, cells[0]):
            raise UserError(
                f"more: expected the mesh of the first press, as fields are by cell, got "
                f"{len(one)} cells and not the same {len(cells[0])} in press {number}"
            )


def _variations(model: Simulation, smooth: Mapping[str, float]) -> dict[str, TotalVariation]:
    fields = [name for name, value in model.values().items() if value.ndim]
    wrong = [name for name in smooth if name not in fields]
    if wrong:
        raise UserError(
            f"smooth: expected unknown fields, of which there are {fields}, got {wrong[0]!r}"
        )
    elements = model.scene.sensor.elements
    return {name: TotalVariation(elements, width) for name, width in smooth.items()}


#: So that an optimiser that does not suit it is refused before a recording is made.
identify.objectives = (Misfit,)  # type: ignore[attr-defined]


def rehearse(given: Mapping[str, Any], part: Callable[[str], Any], ranks: int) -> None:
    """Refuses what can be told without the recording, which a simulation may have to make.

    Args:
        given: the arguments of `identify` as they are written.
        part: makes the one of this name.
        ranks: that share the presses.
    """
    require_shares(1 + len(given.get("more") or ()), ranks)
    for name in ("scene", "law", "unknowns"):
        part(name)


identify.rehearse = rehearse  # type: ignore[attr-defined]


@final
class Nothing(nn.Module):
    """Objective and data of a simulation in which nothing is trained."""

    terms = ()

    def forward(self, model: nn.Module, batch: Any) -> LossTerms:
        return {}

    def train_dataloader(self, start: int, rank: int, ranks: int) -> list[Any]:
        return []

    def val_dataloader(self) -> list[Any]:
        return []

    def refresh(self, model: nn.Module, objective: Any, step: int) -> None:
        """Nothing changes."""


def recorded(
    scene: Scene,
    law: Callable[..., Material],
    truth: Truth,
    path: str | None = None,
    every: int = 1,
) -> Recording:
    """A recording that a simulation makes, without noise; kept in a file where one is named.

    Args:
        scene: usually with a finer mesh than the one that is fitted to it.
        law: material from its constants.
        truth: constants of the law, fields with an inclusion, and `friction`.
        path: NetCDF file; read where it is there and is of the same scene, else written.
        every: steps of the simulation in each of the scene's, so that a fit has its own error in
            time to live with; a scheme's `dt` is that of the simulation.
    """
    described = fingerprint(scene, law, truth, every)
    if path is not None and Path(path).is_file():
        found = read(path)
        if found.attributes.get("scene") == described:
            return found
    values = {name: _value(known, scene) for name, known in truth.items()}
    with torch.no_grad():
        observed = Simulation(scene, law).simulate(values, path=_refined(scene.path, every))
    times = range(0, len(observed.markers), every)
    duration = 1.0 if scene.scheme is None else scene.scheme.duration(1.0)
    made = simulated(
        scene.sensor,
        observed.trajectory.u[::every],
        duration * np.array(times, dtype=float),
        observed.wrench[::every, :3].numpy(),
        scene.path[:, :3].numpy(),
        attributes={"title": "simulated press", "scene": described},
    )
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write(path, made)
    return made


def _refined(path: Tensor, every: int) -> Tensor:
    """The same path with every step cut into equal ones."""
    shares = torch.arange(every, dtype=path.dtype)[:, None] / every
    cut = torch.lerp(path[:-1, None], path[1:, None], shares)
    return torch.cat([cut.flatten(0, 1), path[-1:]])


def _value(known: float | Inclusion, scene: Scene) -> Tensor:
    if isinstance(known, Inclusion):
        return known.field(scene.sensor.elements)
    return torch.tensor(known, dtype=torch.float64)
