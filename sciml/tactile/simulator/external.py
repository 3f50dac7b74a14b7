"""What acts on the body from outside: the seam where contact, loads and objects plug in.

An external term has an energy Π(u; u_before, θ) whose slope joins the body's forces. u_before is
the displacement at the start of the step, for what has memory (friction that slips from there);
θ are tensors of the term's own (position of an indenter, coefficient of friction), of which the
simulator is handed one value per time and through which gradients flow. Whatever is held fixed
within a step and depends on u_before or θ must be computed from them inside `force`, so that the
adjoint sees it.

A term with a memory (`Remembering`) is handed it as the last of its parameters: tensors that it
made itself at the end of the step before, through which gradients flow as through the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class External(Protocol):
    """Energy, slope and curvature of one term; `pairs` [k, 2] are the node pairs a ≤ b of `blocks`.

    `force` is differentiable by torch with respect to `before` and the parameters; there is no
    need for it to be so with respect to `u`.
    """

    @property
    def pairs(self) -> np.ndarray: ...

    def energy(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Tensor:
        """Π, J."""

    def force(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Tensor:
        """∂Π/∂u `[n, 3]`, N."""

    def blocks(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Tensor:
        """∂²Π/∂u_a∂u_b `[k, 3, 3]` of the pairs, N/m."""


@runtime_checkable
class Convex(External, Protocol):
    """A term whose curvature has a negative part that matters only near balance.

    Far from it (a solid that overlaps the body by a whole step) that part is an artefact, and
    without it the tangent leads downhill.
    """

    def convex_blocks(self, u: Tensor, before: Tensor, *parameters: Tensor) -> Tensor:
        """Like `blocks`, none of them with a negative eigenvalue."""


@runtime_checkable
class Remembering(External, Protocol):
    """A term whose memory enters `energy`, `force` and `blocks` after the parameters."""

    def start(self, u: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        """The memory at the initial state."""

    def again(
        self, u: Tensor, parameters: tuple[Tensor, ...], memory: tuple[Tensor, ...], solves: int
    ) -> tuple[Tensor, ...] | None:
        """The memory with which a step is solved once more, or None where it is done.

        Args:
            u: found with `memory`.
            parameters: at the end of the step.
            memory: of the last solve.
            solves: of this step so far.
        """

    def after(
        self,
        u: Tensor,
        before: Tensor,
        parameters: tuple[Tensor, ...],
        memory: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """The memory at the end of a step that is done."""


@runtime_checkable
class Moving(Remembering, Protocol):
    """A term that couples other nodes as u or its memory changes; `pairs` are those at the start.

    Its blocks are those of `coupled`. The matrix keeps room for all pairs met so far: `vicinity`
    says which are likely to come, so that it need not be laid out anew at every step.
    """

    def coupled(self, u: Tensor, *parameters: Tensor) -> np.ndarray:
        """Node pairs a ≤ b `[k, 2]` of `blocks` at u with these parameters and memory."""

    def vicinity(self, u: Tensor, *parameters: Tensor) -> np.ndarray:
        """Node pairs a ≤ b `[k, 2]`, those of `coupled` among them or not."""


@runtime_checkable
class Barring(External, Protocol):
    """A term with states that lie in the way of others: bodies that must not pass each other."""

    def free_share(self, start: Sequence[Tensor], end: Sequence[Tensor]) -> float:
        """Share in [0, 1] of the straight way between two states that is free.

        Args:
            start: u, the parameters and the memory at a state that is not barred.
            end: those of another state.
        """


@final
@dataclass(frozen=True)
class DeadLoad:
    """Forces that follow their nodes without turning: Π = -f·u; parameter f `[n, 3]`, N.

    Of a traction t, Pa, on a surface: f = `elements.surface_weights(name)[:, None] * t`.
    """

    @property
    def pairs(self) -> Int[np.ndarray, "0 2"]:
        return np.empty((0, 2), dtype=np.int64)

    def energy(
        self, u: Float[Tensor, "n 3"], before: Float[Tensor, "n 3"], f: Float[Tensor, "n 3"]
    ) -> Float[Tensor, ""]:
        return -(f * u).sum()

    def force(
        self, u: Float[Tensor, "n 3"], before: Float[Tensor, "n 3"], f: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "n 3"]:
        return -f

    def blocks(
        self, u: Float[Tensor, "n 3"], before: Float[Tensor, "n 3"], f: Float[Tensor, "n 3"]
    ) -> Float[Tensor, "0 3 3"]:
        return f.new_zeros((0, 3, 3))


def pairs(terms: Sequence[External]) -> Int[np.ndarray, "k 2"]:
    """The pairs of all terms, one after the other."""
    return np.concatenate([np.empty((0, 2), dtype=np.int64), *(term.pairs for term in terms)])
