"""How much variance a forecast keeps at every scale: power by degree, over that of the truth.

ratio_l = Σ P_l(f) / Σ P_l(t), sums over forecasts      below 1: blurred, above 1: noise

The effective resolution is the first degree l >= 2 whose ratio leaves [0.75, 1/0.75], with the
wavelength 2πa/l. It is the first and not the last that is good: few forecasts whose large waves are
off, as those of one that hardly differs from persistence are at long leads, may have the degree 2
though smaller scales are kept. Where no degree leaves the band, neither number is reported.

Source: C. Subich et al., arXiv:2501.19374, section 4, for 0.75.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import pi
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from sciml.calculus.sphere import Harmonics
from sciml.calculus.sphere.spectrum import power
from sciml.contracts import UserError
from sciml.globe.metrics.statistics import Statistics, by_channel, divided, named

#: Smallest ratio that counts as resolved, and the inverse of the largest.
RESOLVED = 0.75
#: km, IUGG's mean radius of the earth.
RADIUS = 6371.0


@final
class Spectra(nn.Module):
    """Power ratios by degree and the effective resolution, of some channels.

    power_ratio/v500/l21; effective_degree/v500; effective_wavelength_km/v500.

    Args:
        grid: that resolves the truncation exactly.
        names: of all channels, in order.
        channels: names of those whose spectra are taken; all of them where None.
        degrees: l whose ratios are reported; all from 1 on where None.
        truncation: the largest degree; the largest that is exact where None.
        mean: `[C]`, taken off before the transform, where it would drown small scales in rounding.
        harmonics: transform on the grid, in place of `truncation`.

    Raises:
        UserError: a channel or a degree that there is not.
    """

    def __init__(
        self,
        grid: Any,
        names: Sequence[str],
        channels: Sequence[str] | None = None,
        degrees: Iterable[int] | None = None,
        truncation: int | None = None,
        mean: Any = None,
        harmonics: Any = None,
    ) -> None:
        super().__init__()
        self.harmonics = harmonics or Harmonics(grid, truncation)
        self.channels = tuple(names if channels is None else channels)
        unknown = [name for name in self.channels if name not in names]
        if unknown:
            raise UserError(f"spectra: there is no channel {unknown[0]!r}; known: {list(names)}")
        last = self.harmonics.truncation
        self.degrees = tuple(range(1, last + 1) if degrees is None else degrees)
        if self.degrees and not 0 <= min(self.degrees) <= max(self.degrees) <= last:
            raise UserError(f"spectra: expected degrees of 0 to {last}, got {list(self.degrees)}")
        taken = torch.tensor([list(names).index(name) for name in self.channels])
        offset = torch.zeros(len(names)) if mean is None else torch.as_tensor(mean)
        offset = offset.to(torch.get_default_dtype())  # as the tables of the transform
        self.register_buffer("taken", taken, persistent=False)
        self.register_buffer("offset", offset[taken], persistent=False)

    def statistics(self, forecast: Tensor, truth: Tensor, initial: Tensor) -> Statistics:
        """Sums over the forecasts of one lead time, each `[B, C, *grid]`."""
        powers = {"power": self._power(forecast), "truth_power": self._power(truth)}
        names = [f"{name}/l{l}" for name in self.channels for l in range(powers["power"].shape[-1])]
        return by_channel({kind: p.flatten(1) for kind, p in powers.items()}, names)

    def _power(self, state: Tensor) -> Tensor:
        """`[B, taken, l]`."""
        chosen = state.index_select(1, self.taken).to(self.offset.dtype)
        offset = self.offset.view(-1, *[1] * (state.ndim - 2))
        return power(self.harmonics.analysis(chosen - offset))

    def value(self, means: Mapping[str, float]) -> dict[str, float]:
        """The ratios of one lead time, from the means of `statistics`."""
        every = divided("ratio", named(means, "power"), named(means, "truth_power"), 1.0)
        every = named(every, "ratio")
        found: dict[str, float] = {}
        for name in self.channels:
            ratio = {l: every[f"{name}/l{l}"] for l in self._degrees(every, name)}
            found |= {f"power_ratio/{name}/l{l}": ratio[l] for l in self.degrees if l in ratio}
            at = effective_degree(ratio)
            if at is not None:
                found[f"effective_degree/{name}"] = float(at)
                found[f"effective_wavelength_km/{name}"] = 2 * pi * RADIUS / at
        return found

    def _degrees(self, ratios: Mapping[str, float], name: str) -> list[int]:
        return [l for l in range(self.harmonics.truncation + 1) if f"{name}/l{l}" in ratios]


def effective_degree(
    ratio: Mapping[int, float] | np.ndarray, resolved: float = RESOLVED
) -> int | None:
    """The first degree l >= 2 whose power ratio leaves [resolved, 1/resolved], or None.

    Degrees beyond it may be within the band again, and it may be 2 for a forecast near persistence;
    None where every degree is within.

    Args:
        ratio: by degree, as a mapping or as an array from l = 0 on.
    """
    items = ratio.items() if isinstance(ratio, Mapping) else enumerate(ratio)
    outside = [l for l, r in items if l >= 2 and not resolved <= r <= 1 / resolved]
    return min(outside, default=None)


def mean_power(fields: Any, harmonics: Harmonics) -> np.ndarray:
    """P_l `[lead, channel, l]` of `[init, lead, channel, *grid]`, mean over initial times."""
    total = sum(power(harmonics.analysis(torch.as_tensor(one))).double() for one in fields)
    return (total / len(fields)).numpy()
