"""Rules of torch's functions on jets: linear maps, arithmetic, and what rearranges columns."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sciml.calculus.pointwise.taylor import series
from sciml.calculus.pointwise.taylor.jet import RULES, Jet, UnsupportedOperation
from sciml.calculus.pointwise.taylor.series import Index, Series

Rule = Callable[..., Any]


def rule(*functions: Callable[..., Any]) -> Callable[[Rule], Rule]:
    """Enter a rule for several of torch's spellings of one function."""

    def enter(body: Rule) -> Rule:
        RULES.update(dict.fromkeys(functions, body))
        return body

    return enter


def lift(a: Any, like: Jet) -> Series:
    """The series of a jet, or of a constant tensor or number."""
    if isinstance(a, Jet):
        return a.series
    return {like.indices[0]: a}


def either(a: Any, b: Any) -> Jet:
    return a if isinstance(a, Jet) else b


@rule(functional.linear)
def linear(x: Jet, weight: Tensor, bias: Tensor | None = None) -> Jet:
    """W x + b: one matrix product for all coefficients of equal shape, points innermost."""
    groups: dict[bool, list[Index]] = {}
    for index, term in x.series.items():
        groups.setdefault(series.is_row(term), []).append(index)
    result: dict[Index, Tensor] = {}
    for members in groups.values():
        if len(members) == 1:
            own = bias if members[0] == x.indices[0] else None
            result[members[0]] = functional.linear(x.series[members[0]], weight, own)
            continue
        columns = torch.cat([x.series[index].T for index in members], dim=1)
        parts = torch.mm(weight, columns).unflatten(1, (len(members), -1)).unbind(1)
        result.update((index, part.T) for index, part in zip(members, parts, strict=True))
        if bias is not None and x.indices[0] in members:
            result[x.indices[0]] = result[x.indices[0]] + bias
    return x.of(result)


@rule(torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__)
def add(a: Any, b: Any) -> Jet:
    like = either(a, b)
    return like.of(series.add(like.indices, lift(a, like), lift(b, like)))


@rule(torch.sub, Tensor.sub, Tensor.__sub__)
def sub(a: Any, b: Any) -> Jet:
    return add(a, -b)


@rule(torch.rsub, Tensor.__rsub__)
def rsub(a: Any, b: Any) -> Jet:
    return add(-a, b)


@rule(torch.neg, Tensor.neg, Tensor.__neg__)
def neg(a: Jet) -> Jet:
    return a.map(torch.neg)


@rule(torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__)
def mul(a: Any, b: Any) -> Jet:
    if not isinstance(a, Jet):
        a, b = b, a
    if not isinstance(b, Jet):
        return a.map(lambda term: term * b)
    if a is b:
        return square(a)
    return a.of(series.multiply(a.indices, a.series, b.series))


@rule(torch.div, torch.true_divide, Tensor.div, Tensor.__truediv__)
def div(a: Any, b: Any) -> Jet:
    if not isinstance(b, Jet):
        return a.map(lambda term: term / b)
    return b.of(series.divide(b.indices, lift(a, b), b.series))


@rule(Tensor.__rtruediv__, Tensor.__rdiv__)
def rdiv(a: Any, b: Any) -> Jet:
    return div(b, a)


@rule(torch.reciprocal, Tensor.reciprocal)
def reciprocal(a: Jet) -> Jet:
    return div(1.0, a)


@rule(torch.square, Tensor.square)
def square(a: Jet) -> Jet:
    return a.of(series.square(a.indices, a.series))


@rule(Tensor.__getitem__)
def getitem(x: Jet, key: Any) -> Jet:
    """Columns only: `x[:, 0]`, `x[:, :1]`, `x[..., 1]`."""
    parts = key if isinstance(key, tuple) else (key,)
    whole = parts[0] is Ellipsis or parts[0] == slice(None)
    if not whole or (parts[0] is Ellipsis and len(parts) != 2):
        raise UnsupportedOperation(
            "Taylor series are indexed by columns such as x[:, :1] only, since points stay whole"
        )
    return x.map(lambda term: term[key])


@rule(torch.cat, torch.concat, torch.concatenate)
def cat(tensors: Sequence[Any], dim: int = 0) -> Jet:
    return _join(torch.cat, tensors, dim)


@rule(torch.stack)
def stack(tensors: Sequence[Any], dim: int = 0) -> Jet:
    return _join(torch.stack, tensors, dim)


def _join(join: Callable[..., Tensor], tensors: Sequence[Any], dim: int) -> Jet:
    if dim == 0:
        raise UnsupportedOperation("Taylor series are joined along columns (dim=-1) only")
    like = next(a for a in tensors if isinstance(a, Jet))
    parts = [lift(a, like) for a in tensors]
    values = [part[like.indices[0]] for part in parts]
    result = {}
    for index in like.indices:
        terms = [part.get(index) for part in parts]
        if any(term is not None for term in terms):
            full = [
                torch.zeros_like(value) if term is None else term.expand_as(value)
                for term, value in zip(terms, values, strict=True)
            ]
            result[index] = join(full, dim)
    return like.of(result)


@rule(torch.sum, Tensor.sum)
def sum_(x: Jet, dim: int | None = None, keepdim: bool = False) -> Jet:
    """Over columns only: the points are not one another's business."""
    if dim not in (-1, x.ndim - 1) or x.ndim < 2:
        raise UnsupportedOperation("Taylor series are summed over columns (dim=-1) only")
    return x.map(lambda term: term.sum(dim, keepdim=keepdim))


@rule(torch.unbind, Tensor.unbind)
def unbind(x: Jet, dim: int = 0) -> tuple[Jet, ...]:
    if dim == 0:
        raise UnsupportedOperation("Taylor series are taken apart by columns (dim=-1) only")
    columns = {index: term.unbind(dim) for index, term in x.series.items()}
    return tuple(
        x.of({index: column[i] for index, column in columns.items()}) for i in range(x.shape[dim])
    )


@rule(torch.unsqueeze, Tensor.unsqueeze)
def unsqueeze(x: Jet, dim: int) -> Jet:
    if dim == 0:
        raise UnsupportedOperation("Taylor series keep their points on the first axis")
    return x.map(lambda term: term.unsqueeze(dim))


@rule(torch.squeeze, Tensor.squeeze)
def squeeze(x: Jet, dim: int) -> Jet:
    if dim == 0:
        raise UnsupportedOperation("Taylor series keep their points on the first axis")
    return x.map(lambda term: term.squeeze(dim))
