"""All loss terms with their gradients as one program, for rules that look at gradients every step.

Points of different terms go through the network in passes of their own, so that the gradient of a
term costs nothing for the points of the others: all gradients together cost one plain step.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import final

from torch import Tensor, nn
from torch.func import functional_call

from sciml.calculus.pointwise import autograd, compiled
from sciml.pinn.compiled_terms import (
    Derivatives,
    Scalars,
    attempt,
    flattened,
    kinds,
    near,
    perturbed,
    with_gradients,
)
from sciml.pinn.points import Collocation


@final
class CompiledRows:
    """Compiles terms and gradients at their first use, and again for another network or shape.

    Args:
        scalars: in eager code, points of different terms apart.
        derivatives: how the terms take them.
        keys: the sets of points that the terms are made of.
    """

    def __init__(self, scalars: Scalars, derivatives: Derivatives, keys: Iterable[str]) -> None:
        self.scalars, self.derivatives, self.keys = scalars, derivatives, tuple(keys)
        self._programs: dict[tuple, Callable[..., tuple[Tensor, Tensor]] | None] = {}

    def __call__(
        self, model: nn.Module, batch: Collocation, parameters: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor] | None:
        """Values `[K]` and rows `[K, P]`, detached; None, after a warning, where it fails."""
        held = dict(model.named_parameters()) | dict(model.named_buffers())
        fixed = {name: value.detach() for name, value in held.items() if name not in parameters}
        state = {**parameters, **fixed}
        tensors, rebuild = flattened(batch, self.keys)
        flat = (*state.values(), *tensors)
        key = (id(model), tuple(parameters), kinds(flat))
        if key not in self._programs:

            def pure(derivatives: Derivatives, *flat: Tensor) -> Sequence[Tensor]:
                values = dict(zip(state, flat[: len(state)], strict=True))
                points = rebuild(flat[len(state) :])
                return self.scalars(
                    lambda x: functional_call(model, values, (x,)), points, derivatives
                )

            trial = (*map(perturbed, state.values()), *tensors)
            self._programs[key] = attempt(lambda: self._program(pure, flat, trial))
        program = self._programs[key]
        return None if program is None else program(*flat)

    def _program(
        self,
        pure: Callable[..., Sequence[Tensor]],
        flat: Sequence[Tensor],
        trial: Sequence[Tensor],
    ) -> tuple[Callable[..., tuple[Tensor, Tensor]], bool]:
        """The program, and whether it is right at `trial`."""
        program = compiled.compile_rows(lambda *flat: pure(self.derivatives, *flat), flat)
        trained = [tensor for tensor in trial if tensor.requires_grad]
        return program, near(
            program(*trial), with_gradients(pure(autograd.derivatives, *trial), trained)
        )
