"""Functions of which torch keeps the inputs only: what lies between is computed again in backward.

Inputs and outputs are trees: tensors, tuples of trees, dataclasses of trees. Whatever else is in
them (numbers, functions, None) is carried along. A function must come out the same each time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, final

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Tree = TypeVar("Tree")


def split(tree: Tree) -> tuple[list[Tensor], Callable[[Iterator[Tensor]], Tree]]:
    """The tensors of a tree, and what makes the same tree of as many others."""
    if isinstance(tree, Tensor):
        return [tree], next  # type: ignore[return-value]
    if isinstance(tree, tuple):
        found = [split(part) for part in tree]
        builds = [build for _, build in found]
        return _joined(found), lambda given: tuple(build(given) for build in builds)  # type: ignore
    if is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in fields(tree)]
        kind, found = type(tree), [split(getattr(tree, name)) for name in names]
        parts = [(name, build) for name, (_, build) in zip(names, found, strict=True)]
        return _joined(found), lambda given: kind(**{name: build(given) for name, build in parts})
    return [], lambda given: tree


def _joined(found: list[tuple[list[Tensor], Any]]) -> list[Tensor]:
    return [tensor for tensors, _ in found for tensor in tensors]


def recomputed(
    function: Callable[..., Tree], *trees: Any, through: Sequence[Tensor | None] = ()
) -> Tree:
    """`function(*trees)`; gradients flow to the trees' tensors.

    Args:
        function: of the trees.
        trees: its arguments.
        through: tensors that the function holds of its own and to which gradients flow too.
    """
    own = [tensor for tensor in through if tensor is not None]
    inputs, build = split(trees)
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in [*own, *inputs])):
        return function(*trees)
    built: list[Callable[[Iterator[Tensor]], Tree]] = []
    flat = _Recomputed.apply(function, build, built, len(own), *own, *inputs)
    return built[0](iter(flat))


@final
class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        function: Callable[..., Any],
        build: Callable[[Iterator[Tensor]], tuple[Any, ...]],
        built: list[Any],
        own: int,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.function, ctx.build, ctx.own = function, build, own
        ctx.save_for_backward(*inputs)
        values = (tensor.detach() for tensor in inputs[own:])  # what a function caches by identity
        found, rebuild = split(function(*build(values)))
        built.append(rebuild)
        return tuple(tensor.detach() for tensor in found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        own, wanted = ctx.own, ctx.needs_input_grad[4:]
        inputs = [
            value if k < own else value.detach().requires_grad_(wants)
            for k, (value, wants) in enumerate(zip(ctx.saved_tensors, wanted, strict=True))
        ]
        with torch.enable_grad():
            found, _ = split(ctx.function(*ctx.build(iter(inputs[own:]))))
        pairs = [
            (value, g)
            for value, g in zip(found, cotangents, strict=True)
            if g is not None and value.requires_grad
        ]
        asked = [value for value, wants in zip(inputs, wanted, strict=True) if wants]
        slopes = iter([None] * len(asked))
        if pairs:
            values, given = zip(*pairs, strict=True)
            slopes = iter(torch.autograd.grad(values, asked, given, allow_unused=True))
        return (None, None, None, None, *(next(slopes) if wants else None for wants in wanted))
