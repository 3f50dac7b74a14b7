"""Partial derivatives by nested reverse passes: right for every differentiable function."""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from sciml.calculus.pointwise.names import parse

#: Sorted columns of the coordinates, one for each derivative: (0, 1, 1) is d³/dx dy².
Letters = tuple[int, ...]


def derivatives(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    unknowns: Sequence[str],
    coordinates: Sequence[str],
    wanted: Collection[str],
) -> dict[str, Tensor]:
    """Values and partial derivatives of a function that treats every point on its own.

    One reverse pass gives all first derivatives of a field at once, and every lower derivative is
    shared: u_x serves u_xx and u_xy. Under `torch.no_grad` no graph is kept.

    Args:
        function: `[n, d] -> [n, m]`, row by row.
        x: `[n, d]` points.
        unknowns: names of the m output columns.
        coordinates: one-letter names of the d input columns.
        wanted: names such as `u`, `u_xx`, `psi_xyy`.

    Returns:
        `[n]` for each wanted name, differentiable with respect to the function's parameters.
    """
    parsed = {name: parse(name, unknowns, coordinates) for name in sorted(wanted)}
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        outputs = function(x)
        fields = {}
        for column in sorted({column for column, _ in parsed.values()}):
            targets = {letters for owner, letters in parsed.values() if owner == column}
            for letters, field in _climb(outputs[:, column], x, targets, keep).items():
                fields[column, letters] = field
    found = {name: fields[place] for name, place in parsed.items()}
    return found if keep else {name: field.detach() for name, field in found.items()}


def _climb(field: Tensor, x: Tensor, targets: set[Letters], keep: bool) -> dict[Letters, Tensor]:
    """All targets of one unknown, climbing one order at a time."""
    found: dict[Letters, Tensor] = {(): field}
    passes = _passes(targets)
    for index, (parent, children) in enumerate(passes):
        gradient = _gradient(found[parent], x, keep or index + 1 < len(passes))
        for child in children:
            found[child] = gradient[:, _added(parent, child)]
    return found


def _gradient(field: Tensor, x: Tensor, keep: bool) -> Tensor:
    """`[n, d]` gradient of a field `[n]` at its own points; zero where the field is constant."""
    if not field.requires_grad:
        return torch.zeros_like(x)
    (gradient,) = torch.autograd.grad(
        field.sum(), x, create_graph=keep, retain_graph=True, materialize_grads=True
    )
    return gradient


def _passes(targets: set[Letters]) -> list[tuple[Letters, tuple[Letters, ...]]]:
    """Few reverse passes: (what is differentiated, what is read off), low orders first."""
    needed, passes = set(targets), []
    for order in range(max(map(len, targets)), 0, -1):
        open_ = {letters for letters in needed if len(letters) == order}
        while open_:
            parents = {letters[:i] + letters[i + 1 :] for letters in open_ for i in range(order)}
            best = max(
                sorted(parents),
                key=lambda parent: (len(_children(parent, open_)), parent in needed),
            )
            children = _children(best, open_)
            passes.append((best, children))
            needed.add(best)
            open_ -= set(children)
    return passes[::-1]


def _children(parent: Letters, letters: set[Letters]) -> tuple[Letters, ...]:
    return tuple(sorted(child for child in letters if _added(parent, child) is not None))


def _added(parent: Letters, child: Letters) -> int | None:
    """The one coordinate by which the child is differentiated more often than its parent, if so."""
    for coordinate in set(child):
        if tuple(sorted((*parent, coordinate))) == child:
            return coordinate
    return None
