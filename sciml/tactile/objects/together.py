"""A soft body and an object through time: every step is solved for where the object comes to lie.

    G(z') = z' - place(step(state, z', reaction(z'), Δt)) = 0

The reaction comes from a whole solve of the soft body with the object at z'. G has as many
unknowns as z (six), and its Jacobian costs that many linear solves; it is updated by Broyden's rule
and found anew where the iteration slows down. Derivatives of the outcome are those of the implicit
function: z' - (∂G/∂z')⁻¹ G, with the Jacobian at the solution.

Source: C. G. Broyden, Math. Comp. 19 (1965) 577-593.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.contact.penalty import RigidContact
from sciml.tactile.materials import Material
from sciml.tactile.objects.seam import Object
from sciml.tactile.objects.seam import State as ObjectState
from sciml.tactile.simulator import Simulator, State, Trajectory, at_rest

#: m or rad by which z' may be wrong.
TOLERANCE = 1e-10
#: Evaluations of G in one step, at most.
EVALUATIONS = 20
#: Share of |G| that an evaluation may leave before the Jacobian is found anew.
SLOW = 0.2


@final
@dataclass(frozen=True, eq=False)
class Coupled:
    """What came out.

    Args:
        u: displacements of the soft body at the start and after every step, each `[n, 3]`, m.
        states: of the object, likewise.
        places: z, likewise.
        reactions: of the soft body on the object after every step.
        evaluations: solves of the soft body by step.
    """

    u: tuple[Tensor, ...]
    states: tuple[ObjectState, ...]
    places: Tensor
    reactions: Tensor
    evaluations: tuple[int, ...]


def together(
    simulator: Simulator,
    material: Material,
    thing: Object,
    friction: Tensor,
    dt: float,
    steps: int,
    motion: Float[Tensor, "times h 3"] | None = None,
) -> Coupled:
    """Marches both.

    Args:
        simulator: of the soft body; its one external term is the contact with the object.
        material: of the soft body.
        thing: the object.
        friction: μ, a scalar.
        dt: of a step, s; that of the simulator's scheme, where it has one.
        steps: their number, ≥ 1.
        motion: of the held nodes, see `Simulator`.

    Raises:
        UserError: other terms, another time step, a step without a balance.
    """
    contact = _contact(simulator, dt)
    if motion is None:
        motion = torch.zeros(steps + 1, len(simulator.held), 3, dtype=torch.float64)
    soft, state = at_rest(simulator.elements.n), thing.start()
    reaction = torch.zeros_like(thing.place(state))
    u, states, places, reactions, counts = [soft.u], [state], [thing.place(state)], [], []
    for step in range(steps):
        pass_ = _Step(simulator, contact, material, thing, friction, motion[step : step + 2], dt)
        soft, state, reaction, count = pass_(soft, state, reaction)
        u.append(soft.u)
        states.append(state)
        places.append(thing.place(state))
        reactions.append(reaction)
        counts.append(count)
    return Coupled(
        tuple(u), tuple(states), torch.stack(places), torch.stack(reactions), tuple(counts)
    )


def _contact(simulator: Simulator, dt: float) -> RigidContact:
    terms = simulator.body.terms
    if len(terms) != 1 or not isinstance(terms[0], RigidContact):
        raise UserError(
            "together: expected a simulator with one external term, the contact with the object, "
            f"got {', '.join(type(term).__name__ for term in terms) or 'none'}"
        )
    own = getattr(simulator.scheme, "dt", None) or dt
    if not dt > 0 or own != dt:
        raise UserError(f"together: expected dt = {own!r} s > 0 as in the simulator, got {dt!r}")
    return terms[0]


@final
@dataclass(frozen=True)
class _Step:
    """One step of both."""

    simulator: Simulator
    contact: RigidContact
    material: Material
    thing: Object
    friction: Tensor
    motion: Tensor
    dt: float

    def __call__(
        self, soft: State, state: ObjectState, last: Tensor
    ) -> tuple[State, ObjectState, Tensor, int]:
        """Both states and the reaction after the step, and the solves it took."""
        z = self.thing.place(self.thing.step(state, self.thing.place(state), last, self.dt))
        if not self.thing.implicit:
            found, reaction = self._solve(soft, state, z)
            return found.end, self._object(state, z, reaction), reaction, 1
        z, slope, count = self._solved(soft, state, z.detach())
        if torch.is_grad_enabled():
            G = z - self._step(state, z, self._solve(soft, state, z)[1])
            z = z - torch.linalg.solve(slope, G)
            count += 1
        found, reaction = self._solve(soft, state, z)
        return found.end, self._object(state, z, reaction), reaction, count + 1

    def _solved(self, soft: State, state: ObjectState, z: Tensor) -> tuple[Tensor, Tensor, int]:
        """z', ∂G/∂z' there if gradients are wanted, and evaluations."""
        slope, size, G, way = torch.eye(len(z), dtype=z.dtype), float("inf"), None, None
        for count in range(1, EVALUATIONS + 1):
            with torch.enable_grad():
                at = z.detach().requires_grad_()
                new = at - self._step(state, at, self._solve(soft, state, at)[1])
            left = float(new.detach().norm())
            done = left <= TOLERANCE
            if (done and torch.is_grad_enabled()) or (not done and left > SLOW * size):
                slope = _jacobian(new, at)
            elif way is not None and G is not None:
                off = (new.detach() - G - slope @ way) / (way @ way)
                slope = slope + off[:, None] * way[None]
            if done:
                return at.detach(), slope, count
            size, G = left, new.detach()
            way = -torch.linalg.solve(slope, G)
            z = at.detach() + way
        raise UserError(
            f"object: expected a balance with the soft body, got none after {EVALUATIONS} solves "
            f"({left:.3g} m or rad off); take smaller steps than {self.dt:g} s"
        )

    def _step(self, state: ObjectState, z: Tensor, reaction: Tensor) -> Tensor:
        return self.thing.place(self._object(state, z, reaction))

    def _object(self, state: ObjectState, z: Tensor, reaction: Tensor) -> ObjectState:
        return self.thing.step(state, z, reaction, self.dt)

    def _solve(self, soft: State, state: ObjectState, z: Tensor) -> tuple[Trajectory, Tensor]:
        """The soft body with the object at z, and its reaction."""
        poses = torch.stack([self.thing.place(state), z])
        parameters = [(poses, self.friction.expand(2))]
        found = self.simulator(self.material, 1, self.motion, parameters, soft)
        return found, self.contact.wrench(*found.acting[-1][0])


def _jacobian(G: Tensor, z: Tensor) -> Float[Tensor, "k k"]:
    with torch.enable_grad():
        rows = [torch.autograd.grad(value, z, retain_graph=True)[0] for value in G]
    return torch.stack(rows)
