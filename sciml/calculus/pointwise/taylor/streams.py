"""Partial derivatives read off the Taylor series of a function of coordinates."""

from collections.abc import Callable, Collection, Sequence
from math import factorial, prod
from typing import Any

import torch
from torch import Tensor

import sciml.calculus.pointwise.taylor.elementwise  # noqa: F401  (fills the rules)
from sciml.calculus.pointwise.names import parse
from sciml.calculus.pointwise.taylor.jet import Jet
from sciml.calculus.pointwise.taylor.series import Index, closure


def derivatives(
    function: Callable[[Any], Any],
    x: Tensor,
    unknowns: Sequence[str],
    coordinates: Sequence[str],
    wanted: Collection[str],
) -> dict[str, Tensor]:
    """Values and partial derivatives, as `autograd.derivatives` gives them, in one forward pass.

    Args:
        function: `[n, d] -> [n, m]`, row by row, of operations with a rule in `operations`.
        x: `[n, d]` points.
        unknowns: names of the m output columns.
        coordinates: one-letter names of the d input columns.
        wanted: names such as `u`, `u_xx`, `psi_xyy`.

    Returns:
        `[n]` for each wanted name, differentiable with respect to the function's parameters.

    Raises:
        UnsupportedOperation: the function uses an operation without a rule.
    """
    places = {}
    for name in sorted(wanted):
        column, letters = parse(name, unknowns, coordinates)
        places[name] = column, tuple(letters.count(axis) for axis in range(len(coordinates)))
    indices = closure([(0,) * len(coordinates), *(index for _, index in places.values())])
    result = function(_coordinates(x, indices))
    series = result.series if isinstance(result, Jet) else {indices[0]: result}
    columns = {index: term.unbind(-1) for index, term in series.items()}
    found = {}
    for name, (column, index) in places.items():
        if index in columns:
            found[name] = _derivative(columns[index][column], index, x)
        else:
            found[name] = torch.zeros_like(x[:, 0])
    return found


def _coordinates(x: Tensor, indices: tuple[Index, ...]) -> Jet:
    """The coordinates as series of themselves: value x, first coefficients constant unit rows."""
    series = {indices[0]: x}
    unit = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    for index in indices:
        if sum(index) == 1:
            axis = index.index(1)
            series[index] = unit[axis : axis + 1]
    return Jet(series, indices)


def _derivative(coefficient: Tensor, index: Index, x: Tensor) -> Tensor:
    """∂^α = α! times the coefficient, at every point."""
    scale = prod(factorial(n) for n in index)
    full = coefficient.expand(x.shape[0])
    return full if scale == 1 else scale * full
