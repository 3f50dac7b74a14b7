"""Loss terms as machine code: one program for each network and shape of batch, tried before use.

A program is a function of the network's state and of the batch's tensors alone, so it is right at
any values of the parameters, also at those that `Step.again` puts in place of the network's own.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sciml.calculus.pointwise import autograd, compiled
from sciml.pinn.points import Collocation, Points

#: `(function, x, unknowns, coordinates, wanted) -> {name: [n]}`.
Derivatives = Callable[
    [Callable[[Tensor], Tensor], Tensor, Sequence[str], Sequence[str], Collection[str]],
    dict[str, Tensor],
]
#: `(network, batch, derivatives) -> K scalars`, not stacked: the terms in eager code. One that sees
#: nothing trained is known by that.
Scalars = Callable[[Callable[[Tensor], Tensor], Collocation, Derivatives], Sequence[Tensor]]

#: Largest relative difference of a term, or of its gradient, to nested autograd.
DOUBLE, SINGLE = 1e-8, 1e-4
#: Standard deviation of what is added to parameters for the trial.
NOISE = 0.1


@final
class CompiledTerms:
    """Compiles terms at their first use, and again for another network, shape or type.

    Args:
        scalars: in eager code; what goes on where compiling fails.
        derivatives: how the terms take them.
        keys: the sets of points that the terms are made of.
    """

    def __init__(self, scalars: Scalars, derivatives: Derivatives, keys: Iterable[str]) -> None:
        self.scalars, self.derivatives, self.keys = scalars, derivatives, tuple(keys)
        self._programs: dict[tuple, Callable[..., Tensor] | None] = {}

    def __call__(self, model: nn.Module, batch: Collocation) -> Sequence[Tensor]:
        """The terms one by one, in eager code where nothing is differentiated."""
        state = dict(model.named_parameters()) | dict(model.named_buffers())
        tensors, rebuild = flattened(batch, self.keys)
        flat = (*state.values(), *tensors)
        if not any(tensor.requires_grad for tensor in flat):
            return self.scalars(model, batch, self.derivatives)
        key = (id(model), kinds(flat))
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
        if program is None:
            return self.scalars(model, batch, self.derivatives)
        return program(*flat).unbind()

    def _program(
        self,
        pure: Callable[..., Sequence[Tensor]],
        flat: Sequence[Tensor],
        trial: Sequence[Tensor],
    ) -> tuple[Callable[..., Tensor], bool]:
        """`flat -> [K]`, and whether it is right at `trial`."""
        trained = [tensor for tensor in trial if tensor.requires_grad]
        expected = with_gradients(pure(autograd.derivatives, *trial), trained)
        program = compiled.compile(lambda *flat: torch.stack(pure(self.derivatives, *flat)), flat)
        return program, near(with_gradients(program(*trial), trained), expected)


def attempt(build: Callable[[], tuple[Callable, bool]]) -> Callable | None:
    """The program that `build` makes; None, with a warning, where it cannot be had or is wrong."""
    try:
        program, right = build()
    except Exception as error:  # any failure of a compiler leaves eager code, which is right
        reason = " ".join(str(error).split())[:120]
        _warn(f"compilation failed ({type(error).__name__}: {reason})")
        return None
    if not right:
        _warn("the compiled terms or their gradients differ from nested autograd")
    return program if right else None


def kinds(tensors: Iterable[Tensor]) -> tuple:
    """What a program is made for: shapes, types, devices, and what is trained."""
    return tuple((tuple(t.shape), t.dtype, t.device, t.requires_grad) for t in tensors)


def _warn(reason: str) -> None:
    message = f"derivatives: {reason}; eager code goes on, slower and equally right"
    warnings.warn(message, stacklevel=4)


def perturbed(tensor: Tensor) -> Tensor:
    """A trained tensor plus noise, so that no term is nearly zero where a program is tried.

    Residuals of a trained network are differences of large numbers: their rounding alone would
    differ by more than any tolerance that finds mistakes.
    """
    if not tensor.requires_grad:
        return tensor
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    return (tensor.detach() + NOISE * noise.to(tensor.device)).requires_grad_()


def near(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> bool:
    """Whether terms `[K]` and their gradients `[K, P]` are finite and the same.

    Differences are relative to the norm of each row; a term that vanishes by construction, as under
    a hard constraint, is the square of a rounding error: (10 ε)² of the largest is allowed.
    """
    values, _ = theirs
    rounding = (10 * torch.finfo(values.dtype).eps) ** 2
    tolerance = DOUBLE if values.dtype == torch.float64 else SINGLE
    for a, b in ((ours[0][:, None], values[:, None]), (ours[1], theirs[1])):
        size = b.norm(dim=1)
        allowed = tolerance * size + rounding * size.max()
        if not torch.isfinite(a).all() or ((a - b).norm(dim=1) > allowed).any():
            return False
    return True


def with_gradients(
    scalars: Sequence[Tensor] | Tensor, inputs: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Values `[K]` and gradients `[K, P]`, detached, by one backward pass for each; zeros where a
    scalar sees some of the inputs only. The graph is kept.

    Raises:
        RuntimeError: one sees nothing that is differentiated.
    """
    rows = [
        torch.autograd.grad(
            scalar, inputs, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for scalar in scalars
    ]
    flat = [torch.cat([gradient.reshape(-1) for gradient in row]) for row in rows]
    return torch.stack([scalar.detach() for scalar in scalars]), torch.stack(flat)


def flattened(
    batch: Collocation, keys: Iterable[str]
) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], Collocation]]:
    """The tensors of the sets `keys` in a fixed order, and the way back."""
    tensors: list[Tensor] = []
    plan: list[tuple[str, str, str]] = []
    for key in keys:
        points = batch.points[key]
        parts = {("x", ""): points.x, ("normal", ""): points.normal, ("image", ""): points.image}
        parts[("weight", "")] = points.weight
        parts |= {("target", name): value for name, value in (points.target or {}).items()}
        for (part, name), tensor in parts.items():
            if tensor is not None:
                plan.append((key, part, name))
                tensors.append(tensor)
    weighted = tuple(batch.weights or ())
    tensors += [batch.weights[name] for name in weighted]

    def rebuild(flat: Sequence[Tensor]) -> Collocation:
        points: dict[str, dict] = {key: {} for key, *_ in plan}
        left = iter(flat)
        for key, part, name in plan:
            if name:
                points[key].setdefault(part, {})[name] = next(left)
            else:
                points[key][part] = next(left)
        sets = {key: Points(**parts) for key, parts in points.items()}
        return Collocation(sets, weights=dict(zip(weighted, left, strict=True)) or None)

    return tensors, rebuild
