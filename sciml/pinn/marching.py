"""Random features that march in time: one frozen layer, an output of its own for each window.

    u(x, s) = Σ_k (1 + z_k)/2 C_k φ(W (x, z_k) + b),   z_k = s from window k to [-1, 1], clamped

Windows are of equal length, side by side. One that lies ahead of s adds nothing and one that lies
behind adds what it added at its end, so window k begins exactly where window k − 1 ended, and is
free to grow from there. Solved window by window, each by Gauss–Newton with its own points:

    trainable: ["*outputs.0.*"]     settings: {within: {t: [0.0, 0.1]}}
    trainable: ["*outputs.1.*"]     settings: {within: {t: [0.1, 0.2]}}

At z_k = 1 all windows have the same features. The past is then a sum of outputs, and costs no more
behind many windows than behind one. u is continuous at the edges, its slope by s is once trained.

Sources: `pinn.features`; windows one after another, S. Dong, Z. Li, Comput. Methods Appl. Mech.
Eng. 387 (2021) 114129 (block time marching), there with a start that is a condition.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Generator, Tensor, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn import functional

from sciml.calculus.pointwise.taylor.jet import Jet
from sciml.contracts import UserError
from sciml.pinn.features import scales
from sciml.pinn.layers import require_positive


@final
class Marching(nn.Module):
    """K windows of the last input, which runs over [-1, 1] as the maps of `inputs` give it.

    The outputs start at zero: what is there at the start stays.

    Args:
        inputs, outputs, width: coordinates, unknowns and features.
        depth: 1, the only one there is.
        generator: of the draw.
        windows: K >= 1, of length 2/K.
        activation: φ, elementwise: `torch.sin` for smooth solutions.
        scale: wave number (sine) or steepness (tanh) per input, the last one per half a window;
            one number or one for each.

    Cost: two evaluations of the features where all points lie in one window, else one for each
    window that has points.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        depth: int = 1,
        generator: Generator | None = None,
        windows: int = 10,
        activation: Callable[[Tensor], Tensor] = torch.sin,
        scale: float | Sequence[float] = 3.0,
    ) -> None:
        super().__init__()
        sizes = {"inputs": inputs, "outputs": outputs, "width": width, "windows": windows}
        require_positive("marching features", **sizes)
        if depth != 1 or windows != int(windows):
            raise UserError(
                "marching features: expected depth=1 and a whole number of windows, "
                f"got depth={depth!r} and windows={windows!r}"
            )
        self.activation = activation
        self.edges = [2.0 * k / windows - 1.0 for k in range(windows + 1)]
        unit = 2 * torch.rand(2, width, inputs, dtype=torch.float64, generator=generator) - 1
        weight = scales(scale, inputs) * unit[0]
        self.register_buffer("weight", weight.to(torch.get_default_dtype()))
        self.register_buffer("bias", -(weight * unit[1]).sum(1).to(torch.get_default_dtype()))
        self.outputs = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, width, outputs, bias=False) for _ in range(windows)
        )
        for output in self.outputs:
            nn.init.zeros_(output.weight)

    def forward(self, x: Tensor) -> Tensor:
        s = x[:, -1:]
        first, last = _span(s)
        parts, behind = [], []
        windows = zip(self.edges, self.edges[1:], self.outputs, strict=False)
        for lower, upper, output in windows:
            if upper <= first:
                behind.append(output.weight)
            elif lower < last or not parts:
                z = (s - (lower + upper) / 2) * (2 / (upper - lower))
                if first < lower or upper < last:
                    z = torch.clamp(z, -1.0, 1.0)
                parts.append((z + 1) * 0.5 * output(self._features(x, z)))
        if behind:
            end = torch.ones_like(_value(s))
            parts.append(functional.linear(self._features(x, end), torch.stack(behind).sum(0)))
        return sum(parts[1:], parts[0])

    def _features(self, x: Any, z: Any) -> Any:
        seen = torch.cat([x[:, :-1], z], dim=-1)
        return self.activation(functional.linear(seen, self.weight, self.bias))


def _value(s: Any) -> Tensor:
    return s.value if isinstance(s, Jet) else s


def _span(s: Any) -> tuple[float, float]:
    """Between which values the points lie; everything where a program is being recorded."""
    if torch.compiler.is_compiling() or get_proxy_mode() is not None or not len(_value(s)):
        return -1.0, 1.0
    return tuple(float(end) for end in torch.aminmax(_value(s).detach()))
