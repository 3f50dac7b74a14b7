"""A body through time: step after step in balance, steps divided where one is too large.

The outcome is differentiable by torch with respect to the material's constants, the held nodes'
motion, the parameters of external terms and the initial state.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.elements import Elements
from sciml.tactile.materials import Material
from sciml.tactile.simulator.adjoint import March, Step, advance
from sciml.tactile.simulator.balance import Balance, Body
from sciml.tactile.simulator.external import External
from sciml.tactile.simulator.newton import Newton, Unconverged
from sciml.tactile.simulator.schemes import QuasiStatic, Scheme, State, at_rest
from sciml.tactile.simulator.solver import Factorise, Solver, available

#: Times that one step is halved before it is refused.
HALVINGS = 6
#: Steps of conjugate gradients before a new factor: forward, and for the tighter adjoint.
STEPS, ADJOINT_STEPS = 8, 14


@final
@dataclass(frozen=True, eq=False)
class Trajectory:
    """What came out of a simulation.

    Args:
        u, v: displacements, m, and velocities, m/s (zero in statics): the initial ones and those
            after every step, each `[n, 3]`.
        holding: forces of the held nodes after every step, each `[h, 3]`, N.
        iterations: Newton iterations of every balance solved.
        divided: steps that had to be divided.
        factors: factorisations made.
    """

    u: tuple[Tensor, ...]
    v: tuple[Tensor, ...]
    holding: tuple[Tensor, ...]
    iterations: tuple[int, ...]
    divided: int
    factors: int


class StepRefused(UserError):
    """A step that found no balance however divided; `trajectory` holds all good states before."""

    def __init__(self, text: str, trajectory: Trajectory) -> None:
        super().__init__(text)
        self.trajectory = trajectory


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
        factorise: factors sparse matrices; PARDISO where installed, else SuperLU.

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
        self.newton, self.factorise = newton or Newton(), factorise or available()
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

        Raises:
            UserError: shapes that do not fit.
            StepRefused: a step without balance however divided.
        """
        state = initial or at_rest(self.elements.n)
        if motion is None:
            motion = torch.zeros(steps + 1, len(self.held), 3, dtype=torch.float64)
        self._refuse_misfits(material, steps, motion, parameters)
        march = March(
            self.body,
            material.law,
            self.newton,
            Solver(self.factorise, STEPS),
            Solver(self.factorise, ADJOINT_STEPS),
        )
        journey = _Journey(self.scheme, march, material, motion, parameters)
        return journey(state, steps)

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
        for value in material.parameters:
            cells = len(self.elements.cells)
            if value.ndim and len(value) != cells:
                raise UserError(
                    f"material: expected a scalar or one value for each of {cells} cells, "
                    f"got {len(value)}"
                )


@final
@dataclass
class _Journey:
    """One simulation under way."""

    scheme: Scheme
    march: March
    material: Material
    motion: Tensor
    parameters: Sequence[Sequence[Tensor]]
    divided: int = 0

    def __call__(self, state: State, steps: int) -> Trajectory:
        u, v = [state.u], [state.v]
        holding: list[Tensor] = []
        for step in range(steps):
            try:
                state, forces = self._through(state, step, 0.0, 1.0)
            except Unconverged as reason:
                raise StepRefused(
                    f"step {step + 1} of {steps}: expected a balance of forces, got none in "
                    f"1/{2**HALVINGS} of the step: {reason}; take smaller steps, a finer mesh or "
                    "a softer load",
                    self._trajectory(u, v, holding),
                ) from None
            u.append(state.u)
            v.append(state.v)
            holding.append(forces)
        return self._trajectory(u, v, holding)

    def _trajectory(self, u: list[Tensor], v: list[Tensor], holding: list[Tensor]) -> Trajectory:
        march = self.march
        return Trajectory(
            tuple(u),
            tuple(v),
            tuple(holding),
            tuple(march.iterations),
            self.divided,
            march.forward.factors,
        )

    def _through(
        self, state: State, step: int, start: float, end: float, halvings: int = HALVINGS
    ) -> tuple[State, Tensor]:
        """The state after the part of a step from one share to another, divided if need be."""
        try:
            return self._directly(state, step, start, end)
        except Unconverged:
            if not halvings:
                raise
        self.divided += 1
        middle = (start + end) / 2
        self.march.forward.factor = None
        state, _ = self._through(state, step, start, middle, halvings - 1)
        return self._through(state, step, middle, end, halvings - 1)

    def _directly(self, state: State, step: int, start: float, end: float) -> tuple[State, Tensor]:
        rates = self.scheme.rates(state, end - start)
        density = self.material.density
        settings = Step(
            self.march,
            0.0 if rates is None else density * rates.stiffness,
            lambda balance, moved: _starts(balance, state, moved, self.march, duration),
            len(self.material.parameters),
            tuple(len(values) for values in self.parameters),
        )
        duration = self.scheme.duration(end - start)
        parameters = tuple(
            tuple(_between(value, step, end) for value in values) for values in self.parameters
        )
        u, forces = advance(
            settings,
            self.material,
            state.u if rates is None else rates.drift(),
            _between(self.motion, step, end),
            state.u,
            parameters,
        )
        v = state.v if rates is None else rates.velocity(u)
        return State(u, v, (state.u, state.v, duration)), forces


def _between(values: Tensor, step: int, share: float) -> Tensor:
    """The value at a share of a step, linear between its ends."""
    if share == 1.0:
        return values[step + 1]
    return torch.lerp(values[step], values[step + 1], share)


def _starts(
    balance: Balance, state: State, motion: Tensor, march: March, duration: float
) -> Iterator[np.ndarray]:
    """Where Newton's method may begin: extrapolated, by linear response, or where it was."""
    u, body = state.u.detach().numpy(), balance.body
    there = body.with_motion(u, motion.numpy())
    if state.last is not None:
        last, _, lasted = state.last
        further = u + (u - last.detach().numpy()) * (duration / lasted)
        yield body.with_motion(further, motion.numpy())
    moved = (there - u).reshape(-1)[body.pattern.held]
    if moved.any():
        yield u + _response(balance, u, moved, march)
    yield there


def _response(balance: Balance, u: np.ndarray, moved: np.ndarray, march: March) -> np.ndarray:
    """The linear response `[n, 3]` to a further motion of the held components."""
    pattern = balance.body.pattern
    blocks = balance.tangent(u, balance.body.elements.deformation(u))
    push = (pattern.of_held(blocks).T @ moved)[pattern.free]
    found = np.zeros(u.size)
    found[pattern.held] = moved
    try:
        found[pattern.free] = march.forward(pattern.among_free(blocks), -push, 1e-6)
    except RuntimeError:  # not positive definite: the next start is tried
        found[:] = np.nan
    return found.reshape(u.shape)


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
