"""`Jet`: an array of truncated Taylor series that torch's functions take like a tensor."""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor

from sciml.calculus.pointwise.taylor.series import Index, Series

#: What each of torch's functions does to jets, filled by `operations` and `elementwise`.
RULES: dict[Callable[..., Any], Callable[..., Any]] = {}


@final
class UnsupportedOperation(Exception):
    """A function of torch for which no rule on Taylor series is known."""


def _as_wide(term: Tensor, value: Tensor) -> Tensor:
    """A coefficient with as many columns as the value, which a sum may have broadcast."""
    if term.ndim == value.ndim and term.shape[1:] == value.shape[1:]:
        return term
    rows = term if term.ndim == value.ndim else value
    return term.expand(rows.shape[0], *value.shape[1:])


@final
class Jet:
    """Truncated Taylor series of an array `[n, m]` around n points.

    Coefficients may be broadcast rows `[1, m]`, as those of the coordinates are; absent means zero.

    Args:
        series: coefficient by multi-index; the value, at index zero, has the full shape.
        indices: the downward-closed set that is carried, low orders first.
    """

    def __init__(self, series: Series, indices: tuple[Index, ...]) -> None:
        value = series[indices[0]]
        self.series: dict[Index, Tensor] = {
            index: _as_wide(term, value) for index, term in series.items()
        }
        self.indices = indices

    @property
    def value(self) -> Tensor:
        return self.series[self.indices[0]]

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        return self.value.device

    def map(self, linear: Callable[[Tensor], Tensor]) -> "Jet":
        """A linear function of the array applied to every coefficient."""
        return Jet({index: linear(term) for index, term in self.series.items()}, self.indices)

    def of(self, series: Series) -> "Jet":
        """Another series with the same truncation."""
        return Jet(series, self.indices)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        rule = RULES.get(function)
        if rule is None:
            name = getattr(function, "__name__", str(function))
            raise UnsupportedOperation(
                f"no Taylor rule for torch's {name!r}; choose derivatives=autograd, "
                "or write the function with arithmetic, powers, tanh, sin, cos, exp and the like"
            )
        return rule(*args, **(kwargs or {}))

    def __add__(self, other: Any) -> "Jet":
        return RULES[torch.add](self, other)

    def __sub__(self, other: Any) -> "Jet":
        return RULES[torch.sub](self, other)

    def __rsub__(self, other: Any) -> "Jet":
        return RULES[torch.sub](other, self)

    def __mul__(self, other: Any) -> "Jet":
        return RULES[torch.mul](self, other)

    def __truediv__(self, other: Any) -> "Jet":
        return RULES[torch.div](self, other)

    def __rtruediv__(self, other: Any) -> "Jet":
        return RULES[torch.div](other, self)

    def __neg__(self) -> "Jet":
        return self.map(torch.neg)

    def __pow__(self, exponent: Any) -> "Jet":
        return RULES[torch.pow](self, exponent)

    def __rpow__(self, base: Any) -> "Jet":
        return RULES[torch.pow](base, self)

    def __getitem__(self, key: Any) -> "Jet":
        return RULES[Tensor.__getitem__](self, key)

    __radd__ = __add__
    __rmul__ = __mul__

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Methods such as `x.sin()`, for every function with a rule."""
        function = None if name.startswith("_") else getattr(torch, name, None)
        if function is None:
            raise AttributeError(name)
        if function not in RULES:
            return lambda *args, **kwargs: self.__torch_function__(function, (), (self,))
        return lambda *args, **kwargs: RULES[function](self, *args, **kwargs)
