"""Rules of torch's elementwise functions on jets, from the differential equation of each."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sciml.calculus.pointwise.taylor import series
from sciml.calculus.pointwise.taylor.jet import Jet, UnsupportedOperation
from sciml.calculus.pointwise.taylor.operations import div, mul, rule, square
from sciml.calculus.pointwise.taylor.series import Index, Series


@rule(torch.pow, Tensor.pow, Tensor.__pow__)
def power(a: Any, exponent: Any) -> Jet:
    """Whole powers by repeated squaring, and halves."""
    if not isinstance(a, Jet) or not isinstance(exponent, (int, float)):
        raise UnsupportedOperation(
            "Taylor series are raised to constant numbers only; choose derivatives=autograd"
        )
    if exponent == 0.5:
        return sqrt(a)
    if exponent != int(exponent):
        raise UnsupportedOperation(
            f"Taylor series are raised to whole powers or 0.5, not {exponent}; "
            "choose derivatives=autograd"
        )
    if exponent < 0:
        return div(1.0, power(a, -exponent))
    if exponent == 0:
        return a.of({a.indices[0]: torch.ones_like(a.value)})
    if exponent == 1:
        return a
    even = square(power(a, exponent // 2))
    return mul(even, a) if int(exponent) % 2 else even


@rule(torch.clamp, Tensor.clamp)
def clamp(z: Jet, min: float, max: float) -> Jet:
    """z between the bounds, where the series is kept; constant outside."""
    inside = (z.value >= min) & (z.value <= max)
    terms = {index: term * inside for index, term in z.series.items()}
    return z.of({**terms, z.indices[0]: z.value.clamp(min, max)})


@rule(torch.sqrt, Tensor.sqrt)
def sqrt(a: Jet) -> Jet:
    return a.of(series.root(a.indices, a.series))


@rule(torch.tanh, Tensor.tanh, functional.tanh)
def tanh(z: Jet) -> Jet:
    """y' = (1 − y²) z'."""
    return _integrate(z, z.value.tanh(), _one_minus_square)


@rule(torch.sigmoid, Tensor.sigmoid, functional.sigmoid)
def sigmoid(z: Jet) -> Jet:
    """y' = (y − y²) z'."""
    return _integrate(
        z,
        z.value.sigmoid(),
        lambda y, i: series.total((y.get(i), series.scaled(-1.0, series.squared(y, i)))),
    )


@rule(functional.silu)
def silu(z: Jet, inplace: bool = False) -> Jet:
    return mul(z, sigmoid(z))


@rule(torch.exp, Tensor.exp)
def exp(z: Jet) -> Jet:
    """y' = y z'."""
    return _integrate(z, z.value.exp(), lambda y, i: y.get(i))


@rule(torch.log, Tensor.log)
def log(z: Jet) -> Jet:
    """y' = (1/z) z'."""
    return _with_slope(z, z.value.log(), div(1.0, z))


@rule(torch.asinh, Tensor.asinh, torch.arcsinh, Tensor.arcsinh)
def asinh(z: Jet) -> Jet:
    """y' = z' / sqrt(1 + z²)."""
    return _with_slope(z, z.value.asinh(), div(1.0, sqrt(square(z) + 1.0)))


@rule(torch.atan, Tensor.atan, torch.arctan, Tensor.arctan)
def atan(z: Jet) -> Jet:
    """y' = z' / (1 + z²)."""
    return _with_slope(z, z.value.atan(), div(1.0, square(z) + 1.0))


@rule(torch.erf, Tensor.erf, torch.special.erf)
def erf(z: Jet) -> Jet:
    """y' = 2/sqrt(π) exp(−z²) z'."""
    return _with_slope(z, z.value.erf(), exp(-square(z)) * (2.0 / math.sqrt(math.pi)))


@rule(functional.gelu)
def gelu(z: Jet, approximate: str = "none") -> Jet:
    if approximate != "none":
        raise UnsupportedOperation("gelu has a Taylor rule for approximate='none' only")
    return z * (erf(z * math.sqrt(0.5)) + 1.0) * 0.5


@rule(functional.softplus)
def softplus(z: Jet, beta: float = 1.0, threshold: float = 20.0) -> Jet:
    """y' = sigmoid(beta z) z'."""
    value = functional.softplus(z.value, beta, threshold)
    return _with_slope(z, value, sigmoid(z * beta))


@rule(torch.sin, Tensor.sin)
def sin(z: Jet) -> Jet:
    if series.is_affine(z.series):
        s, c = z.value.sin(), z.value.cos()
        return _of_affine(z, ((1, s), (1, c), (-1, s), (-1, c)))
    return _sine_and_cosine(z)[0]


@rule(torch.cos, Tensor.cos)
def cos(z: Jet) -> Jet:
    if series.is_affine(z.series):
        s, c = z.value.sin(), z.value.cos()
        return _of_affine(z, ((1, c), (-1, s), (-1, c), (1, s)))
    return _sine_and_cosine(z)[1]


@rule(torch.sinh, Tensor.sinh)
def sinh(z: Jet) -> Jet:
    return (exp(z) - exp(-z)) * 0.5


@rule(torch.cosh, Tensor.cosh)
def cosh(z: Jet) -> Jet:
    return (exp(z) + exp(-z)) * 0.5


def _integrate(z: Jet, value: Tensor, slope: Callable[[Series, Index], Tensor | None]) -> Jet:
    return z.of(series.integrate(z.indices, z.series, value, slope))


def _with_slope(z: Jet, value: Tensor, slope: Jet) -> Jet:
    return _integrate(z, value, lambda _, i: slope.series.get(i))


def _one_minus_square(y: Series, index: Index) -> Tensor | None:
    if not any(index):
        return 1.0 - y[index].square()
    return series.scaled(-1.0, series.squared(y, index))


def _of_affine(z: Jet, cycle: tuple[tuple[int, Tensor], ...]) -> Jet:
    """A function of affine z whose derivatives repeat in a cycle of (sign, values)."""
    return z.of(series.of_affine(z.indices, z.series, lambda k: cycle[k % len(cycle)]))


def _sine_and_cosine(z: Jet) -> tuple[Jet, Jet]:
    """s' = c z', c' = −s z', climbed together."""
    zero = z.indices[0]
    s: dict[Index, Tensor] = {zero: z.value.sin()}
    c: dict[Index, Tensor] = {zero: z.value.cos()}
    for index in z.indices[1:]:
        s_next = series.integral(index, z.series, c.get)
        c_next = series.scaled(-1.0, series.integral(index, z.series, s.get))
        s.update(series.present({index: s_next}))
        c.update(series.present({index: c_next}))
    return z.of(s), z.of(c)
