"""Algebra of truncated multivariate Taylor series.

    z(x + h) = Σ_α z_α h^α,   z_α = ∂^α z / α!,   α in a downward-closed set of multi-indices

Products are Cauchy's, and elementwise functions follow from their differential equation: y = f(z)
with ∂y = g ∂z for any coordinate i gives α_i y_α = Σ_β β_i z_β g_(α−β), with g of lower order.

Source: Griewank and Walther (2008), Evaluating Derivatives, chapter 13.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import TypeAlias

from torch import Tensor

#: How often each coordinate is differentiated: (1, 2) is d³/dx dy².
Index: TypeAlias = tuple[int, ...]

#: Taylor coefficients by multi-index; an absent one is zero.
Series: TypeAlias = Mapping[Index, Tensor]


def closure(indices: Iterable[Index]) -> tuple[Index, ...]:
    """The downward-closed hull, low orders first: everything that a product may read."""
    below = {smaller for index in indices for smaller in product(*(range(n + 1) for n in index))}
    return tuple(sorted(below, key=lambda index: (sum(index), index)))


def minus(larger: Index, smaller: Index) -> Index:
    return tuple(a - b for a, b in zip(larger, smaller, strict=True))


def splits(index: Index) -> Iterator[tuple[Index, Index]]:
    """All pairs of multi-indices that add up to the given one."""
    for smaller in product(*(range(n + 1) for n in index)):
        yield smaller, minus(index, smaller)


def total(terms: Iterable[Tensor | None]) -> Tensor | None:
    """The sum of what is not zero; None for zero."""
    result = None
    for term in terms:
        if term is not None:
            result = term if result is None else result + term
    return result


def scaled(factor: float, term: Tensor | None) -> Tensor | None:
    if term is None or factor == 1:
        return term
    return factor * term


def times(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else a * b


def present(coefficients: Mapping[Index, Tensor | None]) -> dict[Index, Tensor]:
    return {index: term for index, term in coefficients.items() if term is not None}


def add(indices: tuple[Index, ...], a: Series, b: Series) -> Series:
    return present({index: total((a.get(index), b.get(index))) for index in indices})


def scale(factor: float | Tensor, a: Series) -> Series:
    return {index: factor * term for index, term in a.items()}


def multiply(indices: tuple[Index, ...], a: Series, b: Series) -> Series:
    return present({index: convolve(a, b, index) for index in indices})


def convolve(a: Series, b: Series, index: Index) -> Tensor | None:
    """Coefficient of the product a b."""
    return total(times(a.get(i), b.get(j)) for i, j in splits(index))


def squared(a: Series, index: Index) -> Tensor | None:
    """Coefficient of a², each mixed product taken once."""
    twice = total(times(a.get(i), a.get(j)) for i, j in splits(index) if i < j)
    once = total(times(a.get(i), a.get(j)) for i, j in splits(index) if i == j)
    return total((scaled(2.0, twice), once))


def square(indices: tuple[Index, ...], a: Series) -> Series:
    return present({index: squared(a, index) for index in indices})


def divide(indices: tuple[Index, ...], a: Series, b: Series) -> Series:
    """q = a/b from a_α = Σ q_β b_(α−β)."""
    zero = indices[0]
    quotient: dict[Index, Tensor] = {}
    inverse = b[zero].reciprocal()
    for index in indices:
        known = total(times(quotient.get(i), b.get(j)) for i, j in splits(index) if i != index)
        left = total((a.get(index), scaled(-1.0, known)))
        if left is not None:
            quotient[index] = left * inverse
    return quotient


def root(indices: tuple[Index, ...], a: Series) -> Series:
    """y = sqrt(a) from y² = a."""
    zero = indices[0]
    y: dict[Index, Tensor] = {zero: a[zero].sqrt()}
    half = 0.5 * y[zero].reciprocal()
    for index in indices[1:]:
        left = total((a.get(index), scaled(-1.0, squared(y, index))))
        if left is not None:
            y[index] = left * half
    return y


def is_row(term: Tensor) -> bool:
    """One row for all points; a symbolic number of points is not compared, which would fix it."""
    return isinstance(term.shape[0], int) and term.shape[0] == 1


def is_affine(z: Series) -> bool:
    """True for an affine function of the coordinates: its slopes are constant."""
    return all(not any(index) or (sum(index) == 1 and is_row(term)) for index, term in z.items())


def of_affine(
    indices: tuple[Index, ...], z: Series, derivative: Callable[[int], tuple[float, Tensor]]
) -> Series:
    """y = f(z) of affine z: y_α = f^(|α|)(z_0) Π_i z_i^α_i / α!, one product for each α.

    Args:
        derivative: k → (factor, values), whose product is f^(k)(z_0).
    """
    y: dict[Index, Tensor] = {}
    for index in indices:
        factor, values = derivative(sum(index))
        units = [tuple(int(i == axis) for i in range(len(index))) for axis in range(len(index))]
        if not any(index):
            y[index] = values
        elif all(unit in z for unit, n in zip(units, index, strict=True) if n):
            slopes = [z[unit] ** n for unit, n in zip(units, index, strict=True) if n]
            row = math.prod(slopes) * (factor / math.prod(map(math.factorial, index)))
            y[index] = values * row
    return y


def integrate(
    indices: tuple[Index, ...],
    z: Series,
    value: Tensor,
    slope: Callable[[Series, Index], Tensor | None],
) -> Series:
    """y with y_0 given and ∂y = g ∂z.

    Args:
        value: y_0.
        slope: `(y so far, index) -> g` at that index; asked for lower orders than y has, once each.
    """
    y: dict[Index, Tensor] = {indices[0]: value}
    known: dict[Index, Tensor | None] = {}

    def g(index: Index) -> Tensor | None:
        if index not in known:
            known[index] = slope(y, index)
        return known[index]

    for index in indices[1:]:
        y.update(present({index: integral(index, z, g)}))
    return y


def integral(index: Index, z: Series, g: Callable[[Index], Tensor | None]) -> Tensor | None:
    """Coefficient of y, where ∂y = g ∂z, from lower ones of g."""
    axis = next(i for i, n in enumerate(index) if n)
    return total(
        scaled(i[axis] / index[axis], times(z[i], g(j)))
        for i, j in splits(index)
        if i[axis] and i in z
    )
