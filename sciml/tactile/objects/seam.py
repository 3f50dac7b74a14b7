"""The seam between an object and the soft body it touches: state, step, contact gap.

An object has a state of its own and a way to step it; neither the simulator nor a sensor knows
what it is. They meet in the parameters z of one contact term (`RigidContact`: a pose `[6]`; a term
for particles: their positions) and in the reaction that the body gives back:

    state' = step(state, z', reaction(z'), Δt)        z' = place(state')

Whatever has a place, a reaction and a step plugs in: rigid bodies here, elastoplastic material
points, sand or cables with terms of their own. Elastic bodies are no objects: they are solved with
the sensor, in one mesh (`parts.united`, `contact.mesh`).
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

#: An object's state: tensors of its own.
State = tuple[Tensor, ...]


@runtime_checkable
class Object(Protocol):
    """State, step and contact gap, all differentiable by torch.

    Attributes:
        implicit: whether z' is solved for (few unknowns, stiff against the body), or taken from
            a step under the last reaction.
    """

    @property
    def implicit(self) -> bool: ...

    def start(self) -> State:
        """The initial state."""

    def place(self, state: State) -> Tensor:
        """z: what the contact term is given."""

    def step(self, state: State, place: Tensor, reaction: Tensor, duration: float) -> State:
        """The state after a step.

        Args:
            state: before it.
            place: z at which the reaction acts.
            reaction: of the body on the object, of the shape of z.
            duration: Δt, s.
        """

    def gap(
        self, state: State, x: Float[Tensor, "q 3"]
    ) -> tuple[Float[Tensor, " q"], Float[Tensor, "q 3"]]:
        """Distance of points from the object, m, negative inside, and its gradient."""
