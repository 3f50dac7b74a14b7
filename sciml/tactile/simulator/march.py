"""A body through time: step after step in balance, steps divided where one is too large.

The outcome is differentiable by torch with respect to the material's constants, the held nodes'
motion, the parameters of external terms, the initial state and the nodes' positions at rest.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.elements import Elements
from sciml.tactile.materials import Material, MixedSolid
from sciml.tactile.simulator.adjoint import Adjoint
from sciml.tactile.simulator.body import Body
from sciml.tactile.simulator.external import External
from sciml.tactile.simulator.indefinite import SaddleSolver
from sciml.tactile.simulator.journey import Journey
from sciml.tactile.simulator.newton import Newton
from sciml.tactile.simulator.schemes import QuasiStatic, Scheme, State, at_rest
from sciml.tactile.simulator.segment import Course
from sciml.tactile.simulator.solver import Factorise, Solver, available
from sciml.tactile.simulator.trajectory import Moment, Trajectory

#: Steps of conjugate gradients before a new factor: forward, and for the tighter adjoint.
STEPS, ADJOINT_STEPS = 8, 14


@final
class Simulator:
    """Marches one body; what depends on mesh and held nodes only is made once, here.

    Args:
        elements: the body.
        held: surfaces whose motion is given: names, or name → its held components of "xyz" (a
            plane of symmetry holds one).
        scheme: quasi-static increments, or a time scheme.
        terms: what acts from outside (see `external`).
        newton: settings of the iteration.
        factorise: factors sparse matrices; PARDISO where installed, else SuperLU. Materials with a
            pressure field are always solved by SuperLU.

    Attributes:
        held: `[h]` nodes with a held component, rising.

    Raises:
        UserError: no such surface; nothing held in statics.
    """

    def __init__(
        self,
        elements: Elements,
        held: Sequence[str] | Mapping[str, str],
        scheme: Scheme | None = None,
        terms: Sequence[External] = (),
        newton: Newton | None = None,
        factorise: Factorise | None = None,
    ) -> None:
        self.elements, self.scheme = elements, scheme or QuasiStatic()
        self.newton, self.factorise = newton or Newton(), factorise
        mask = _held(elements, held)
        if not mask.any(0).all() and isinstance(self.scheme, QuasiStatic):
            raise UserError(
                "statics: expected x, y and z to be held somewhere, got held = "
                f"{held!r}: the body would float; hold one of "
                f"{', '.join(sorted(elements.mesh.surfaces))}, or use a time scheme"
            )
        self.body = Body(elements, mask, terms)
        self.held = self.body.nodes

    def __call__(
        self,
        material: Material,
        steps: int,
        motion: Float[Tensor, "times h 3"] | None = None,
        parameters: Sequence[Sequence[Tensor]] = (),
        initial: State | None = None,
        checkpoints: bool | int = False,
        observe: Callable[[Moment], Any] | None = None,
    ) -> Trajectory:
        """The trajectory.

        Args:
            material: constants are scalars or fields `[m]`.
            steps: their number, ≥ 1.
            motion: `[steps + 1, h, 3]` displacements of the held nodes at the start and after
                every step, m; zero if None. Linear between, where a step is divided. Components
                that are not held are ignored.
            parameters: of every external term, each `[steps + 1, …]`, likewise.
            initial: at rest if None.
            checkpoints: number of segments into which the steps are cut, or True for about their
                root. A gradient then needs the states at the segments' ends, and the steps are
                computed once more, segment by segment, as it is taken.
            observe: what is wanted of every step, a tensor or a tuple of them; nothing else is
                kept but the last moment. Called again where steps are computed again.

        Raises:
            UserError: shapes that do not fit, fewer than no checkpoints.
            StepRefused: a step without balance however divided.
        """
        self.elements.refuse_changes()
        state = initial or at_rest(self.elements.n)
        if motion is None:
            motion = torch.zeros(steps + 1, len(self.held), 3, dtype=torch.float64)
        self._refuse_misfits(material, steps, motion, parameters)
        kind: Callable[[int], Solver | SaddleSolver] = self._solver
        if isinstance(material.solid(), MixedSolid):
            kind = SaddleSolver
        adjoint = Adjoint(kind(ADJOINT_STEPS))
        forward = partial(kind, STEPS)
        journey = Journey(self.body, self.scheme, self.newton, forward, adjoint, observe)
        course = Course(material, motion, tuple(tuple(values) for values in parameters))
        return journey(state, course, _segments(checkpoints, steps))

    def _solver(self, steps: int) -> Solver:
        return Solver(self.factorise or available(), steps)

    def _refuse_misfits(
        self, material: Material, steps: int, motion: Tensor, parameters: Sequence[Sequence[Tensor]]
    ) -> None:
        if steps < 1:
            raise UserError(f"steps: expected at least 1, got {steps!r}")
        wanted = (steps + 1, len(self.held), 3)
        if tuple(motion.shape) != wanted:
            raise UserError(
                f"motion: expected [steps + 1, held nodes, 3] = {list(wanted)}, "
                f"got {list(motion.shape)}"
            )
        if len(parameters) != len(self.body.terms):
            raise UserError(
                f"parameters: expected one entry for each of {len(self.body.terms)} external "
                f"terms, got {len(parameters)}"
            )
        for values in parameters:
            for value in values:
                if len(value) != steps + 1:
                    raise UserError(
                        f"parameters: expected {steps + 1} times, got shape {list(value.shape)}"
                    )
        if isinstance(material.solid(), MixedSolid) and self.elements.degree != 2:
            raise UserError(
                "material: expected elements of degree 2 for a pressure field, got degree "
                f"{self.elements.degree}; use Elements(mesh, 2)"
            )
        timeless = isinstance(self.scheme, QuasiStatic) and self.scheme.dt is None
        if material.series is not None and timeless:
            raise UserError(
                "viscoelastic material: expected steps of a given length, got QuasiStatic(); "
                "use QuasiStatic(dt=…) in seconds, or a time scheme"
            )
        for value in material.parameters:
            cells = len(self.elements.cells)
            if value.ndim and len(value) != cells:
                raise UserError(
                    f"material: expected a scalar or one value for each of {cells} cells, "
                    f"got {len(value)}"
                )


def _segments(checkpoints: bool | int, steps: int) -> int:
    """Number of segments of which only the ends are kept."""
    if checkpoints is True:
        return math.isqrt(steps - 1) + 1
    if checkpoints < 0:
        raise UserError(f"checkpoints: expected a number ≥ 0 or True, got {checkpoints!r}")
    return min(int(checkpoints), steps)


def _held(elements: Elements, held: Sequence[str] | Mapping[str, str]) -> np.ndarray:
    """`[n, 3]`, true for held components."""
    found = np.zeros((elements.n, 3), dtype=bool)
    for name in held:
        components = held[name] if isinstance(held, Mapping) else "xyz"
        if not components or set(components) - set("xyz"):
            raise UserError(f"held '{name}': expected some of 'xyz', got {components!r}")
        for component in components:
            found[elements.on(name), "xyz".index(component)] = True
    return found
