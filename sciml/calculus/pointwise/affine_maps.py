"""The affine maps that a function applies to its points, noted for derivatives of each point alone.

A network acts on points through affine maps o_s = W z_s + [s = 0] b of S streams: the value and the
Taylor coefficients of a point. One backward pass of the sum of all rows gives the adjoint ā_s of
o_s at every point n, and with it the derivatives of that point's row, if it sees no other:

    ∂r_n/∂W = Σ_s ā_s ⊗ z_s,   ∂r_n/∂b = ā_0

Source: the outer products are those of per-sample gradients (I. Goodfellow, Efficient per-example
gradient computations, 2015, arXiv:1510.01799), taken over streams.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sciml.calculus.pointwise.taylor.jet import Jet

#: What NumPy multiplies: its batches of small matrices take 1/10 to 1 of torch's time on one core.
NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


#: Outputs up to which the streams of a map are kept apart.
FEW = 2

#: Gradients by a map's targets; None where no row depends on one. Never all None.
Adjoints = Sequence[Tensor | None]


class AffineMap(Protocol):
    """One use of W and b at n points, from which the trained tensors are cut off."""

    weight: Tensor
    bias: Tensor | None

    @property
    def targets(self) -> tuple[Tensor, ...]:
        """What to differentiate the sum of the rows with respect to."""
        ...

    def weight_rows(self, adjoints: Adjoints, points: slice, out: Tensor) -> None:
        """Writes ∂r/∂W of these points into `out` `[n, outputs, inputs]`."""
        ...

    def bias_rows(self, adjoints: Adjoints, points: slice) -> Tensor:
        """∂r/∂b of these points `[n, outputs]`."""
        ...


@final
@dataclass(frozen=True, eq=False)
class Streams:
    """An affine map of a jet: `inputs` `[S, n, in]`, `outputs` `[S, n, out]`, the value first."""

    weight: Tensor
    bias: Tensor | None
    inputs: Tensor
    outputs: Tensor

    @property
    def targets(self) -> tuple[Tensor, ...]:
        return (self.outputs,)

    def weight_rows(self, adjoints: Adjoints, points: slice, out: Tensor) -> None:
        outer(adjoints[0][:, points], self.inputs[:, points], out)

    def bias_rows(self, adjoints: Adjoints, points: slice) -> Tensor:
        return adjoints[0][0, points]


@final
@dataclass(frozen=True, eq=False)
class FewOutputs:
    """An affine map of a jet to few outputs: wide inputs are not copied, unused streams skipped."""

    weight: Tensor
    bias: Tensor | None
    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]

    def weight_rows(self, adjoints: Adjoints, points: slice, out: Tensor) -> None:
        used = [(a, z) for a, z in zip(adjoints, self.inputs, strict=True) if a is not None]
        for number, (a, z) in enumerate(used):
            left, right = a[points, :, None], z.detach()[points, None]
            if number == 0:
                torch.mul(left, right, out=out)
            else:
                out.addcmul_(left, right)

    def bias_rows(self, adjoints: Adjoints, points: slice) -> Tensor:
        return _or_zero(adjoints, 0, self.targets)[points]


def _or_zero(adjoints: Adjoints, number: int, targets: Sequence[Tensor]) -> Tensor:
    found = adjoints[number]
    return torch.zeros_like(targets[number]) if found is None else found


@final
@dataclass(frozen=True, eq=False)
class Deltas:
    """An affine map with a change of its own for every point, zero: right under nested autograd.

    Exact through any number of nested reverse passes, at the price of n copies of W.
    """

    weight: Tensor
    bias: Tensor | None
    targets: tuple[Tensor, ...]

    def weight_rows(self, adjoints: Adjoints, points: slice, out: Tensor) -> None:
        out.copy_(_or_zero(adjoints, 0, self.targets)[points])

    def bias_rows(self, adjoints: Adjoints, points: slice) -> Tensor:
        return _or_zero(adjoints, 1, self.targets)[points]


def outer(a: Tensor, z: Tensor, out: Tensor) -> None:
    """out_n = Σ_s a_sn ⊗ z_sn for `a` `[S, n, o]`, `z` `[S, n, i]`, `out` `[n, o, i]`."""
    if a.device.type == "cpu" and a.dtype in NUMPY:
        left, right = a.detach().numpy(), z.detach().numpy()
        np.matmul(left.transpose(1, 2, 0), right.transpose(1, 0, 2), out=out.numpy())
    else:
        out.copy_(torch.bmm(a.permute(1, 2, 0), z.detach().permute(1, 0, 2)))


@final
class Capture(TorchFunctionMode):
    """Notes every affine map with trained W or b that a function applies to its points.

    What is noted is cut off from W and b. A trained tensor that still has a gradient afterwards is
    used in another way too, and that share of its Jacobian has to come from elsewhere.

    Args:
        streams: the function is fed jets; otherwise tensors under nested autograd.
    """

    def __init__(self, streams: bool = True) -> None:
        super().__init__()
        self.streams = streams
        self.groups: list[list[AffineMap]] = []
        self._points: int | None = None

    @contextmanager
    def points(self, n: int) -> Iterator[None]:
        """One call of the function at n points: a new group of maps."""
        self.groups.append([])
        self._points = n
        with self:
            yield
        self._points = None

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is functional.linear:
            return self._linear(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))

    def _linear(self, x: Any, weight: Tensor, bias: Tensor | None = None) -> Any:
        trained = weight.requires_grad or (bias is not None and bias.requires_grad)
        of_points = x.ndim == 2 and x.shape[0] == self._points
        if not trained or not of_points:
            return functional.linear(x, weight, bias)
        if not self.streams:
            return self._with_deltas(x, weight, bias)
        jet = x if isinstance(x, Jet) else None
        series = {(): x} if jet is None else jet.series
        result = self._stacked(series, weight, bias)
        return result[()] if jet is None else jet.of(result)

    def _stacked(
        self, series: Mapping[Any, Tensor], weight: Tensor, bias: Tensor | None
    ) -> dict[Any, Tensor]:
        """The map of every coefficient; the value comes first in what is noted."""
        order = sorted(series, key=lambda index: (sum(index), index))
        inputs = tuple(series[index].expand(self._points, -1) for index in order)
        if len(weight) <= FEW:
            outputs = tuple(_target(z @ weight.detach().T) for z in inputs)
            self.groups[-1].append(FewOutputs(weight, bias, inputs, outputs))
        else:
            together = torch.stack(inputs)
            stacked = _target(together @ weight.detach().T)
            self.groups[-1].append(Streams(weight, bias, together, stacked))
            outputs = stacked.unbind()
        parts = dict(zip(order, outputs, strict=True))
        if bias is not None:
            parts[order[0]] = parts[order[0]] + bias.detach()
        return parts

    def _with_deltas(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        changes = x.new_zeros(len(x), *weight.shape).requires_grad_()
        shift = x.new_zeros(len(x), len(weight)).requires_grad_()
        self.groups[-1].append(Deltas(weight, bias, (changes, shift)))
        fixed = functional.linear(x, weight.detach(), None if bias is None else bias.detach())
        return fixed + (changes @ x.unsqueeze(-1)).squeeze(-1) + shift


def _target(outputs: Tensor) -> Tensor:
    """With a gradient, also where nothing before it has one."""
    return outputs if outputs.requires_grad else outputs.requires_grad_()
