"""Points that follow the residual: rules by which a set of points becomes the next one.

A rule acts every `sampling.every` steps, before the step. It sees the present points, may draw
others of the base density, and may ask for the size of the residual |r| at any points: with
several equations the sum of |r_k| / mean |r_k|.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, final

import numpy as np
import torch

from sciml.contracts import UserError
from sciml.pinn.points import Points

if TYPE_CHECKING:
    from torch import nn

    from sciml.pinn.objective import CollocationLoss

#: Points per evaluation of the equations.
CHUNK = 8192

#: `m -> [m, d]`: points of the base density.
Draw = Callable[[int], np.ndarray]
#: `[m, d] -> [m]`: the size of the residual, >= 0.
Size = Callable[[np.ndarray], np.ndarray]
#: Points `[n, d]` and a factor `[n]` on their weights, where that is not 1.
Chosen = tuple[np.ndarray, np.ndarray | None]


class Adaptive(Protocol):
    """`(points [n, d], draw, size, rng) -> (points [n', d], factor on the weights)`.

    `growth`: points that are added each time, n' − n.
    """

    growth: int

    def __call__(
        self, x: np.ndarray, draw: Draw, size: Size, rng: np.random.Generator
    ) -> Chosen: ...


def _preference(size: np.ndarray, k: float, c: float) -> np.ndarray:
    """p = |r|^k / mean |r|^k + c `[m]`; 1 where every residual is zero."""
    power = size**k
    mean = power.mean()
    return power / mean + c if mean > 0 else np.ones(len(size))


def _picked(p: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` different indices, each the likelier the larger p; zeros where nothing else is left."""
    if np.count_nonzero(p) < n:
        p = p + np.finfo(float).tiny
    return rng.choice(len(p), size=n, replace=False, p=p / p.sum(), shuffle=False)


def _check(rule: str, pool: int, k: float, c: float) -> None:
    if isinstance(pool, bool) or not isinstance(pool, int) or pool < 2 or k < 0 or c < 0:
        raise UserError(
            f"{rule}: expected a whole number of candidates per point pool >= 2, k >= 0 and "
            f"c >= 0, got pool={pool!r}, k={k}, c={c}"
        )


@final
@dataclass(frozen=True)
class RAD:
    """All points drawn anew from a pool of candidates with p ∝ |r|^k / mean |r|^k + c.

    Args:
        k: 0 ignores the residual, large k sees nothing but the peak.
        c: the uniform part.
        pool: candidates per point.
        correction: weights p^(−2 correction): 0 as published, 0.5 keeps the mean square that of
            the base density (importance sampling).

    Cost: the equations at pool · n points, without a graph.
    Source: Wu, Zhu, Tan, Kartha, Lu, Computer Methods in Applied Mechanics and Engineering 403
    (2023) 115671: RAD with k = c = 1, resampled every 1000 steps of Adam.
    """

    k: float = 1.0
    c: float = 1.0
    pool: int = 10
    correction: float = 0.0
    growth = 0

    def __post_init__(self) -> None:
        _check("rad", self.pool, self.k, self.c)
        if not 0 <= self.correction <= 1:
            raise UserError(f"rad: expected 0 <= correction <= 1, got {self.correction!r}")

    def __call__(self, x: np.ndarray, draw: Draw, size: Size, rng: np.random.Generator) -> Chosen:
        candidates = draw(self.pool * len(x))
        p = _preference(size(candidates), self.k, self.c)
        chosen = _picked(p, len(x), rng)
        factor = p[chosen] ** (-2 * self.correction) if self.correction else None
        return candidates[chosen], factor


@final
@dataclass(frozen=True)
class RARD:
    """RAR-D: `growth` points more each time, picked as by `RAD`; none is ever dropped.

    Args:
        growth: points added, >= 1.
        k, c: as in `RAD`.
        pool: candidates per added point.

    Source: as `RAD`; RAR-D with k = 2, c = 0.
    """

    growth: int
    k: float = 2.0
    c: float = 0.0
    pool: int = 100

    def __post_init__(self) -> None:
        _check("rar_d", self.pool, self.k, self.c)
        if isinstance(self.growth, bool) or not isinstance(self.growth, int) or self.growth < 1:
            raise UserError(f"rar_d: expected a whole number growth >= 1, got {self.growth!r}")

    def __call__(self, x: np.ndarray, draw: Draw, size: Size, rng: np.random.Generator) -> Chosen:
        candidates = draw(self.pool * self.growth)
        p = _preference(size(candidates), self.k, self.c)
        return np.concatenate((x, candidates[_picked(p, self.growth, rng)])), None


@final
@dataclass(frozen=True)
class R3:
    """Retain what has more than the mean residual, release and resample the rest.

    Points gather where the residual stays large, and leave as it falls; there is no setting.

    Cost: the equations at the n points.
    Source: Daw, Bu, Wang, Perdikaris, Karpatne, ICML 2023 (arXiv 2207.02338), Algorithm 1, there
    every step.
    """

    growth = 0

    def __call__(self, x: np.ndarray, draw: Draw, size: Size, rng: np.random.Generator) -> Chosen:
        found = size(x)
        retained = x[found > found.mean()]
        return np.concatenate((retained, draw(len(x) - len(retained)))), None


@final
@dataclass(frozen=True)
class Renewal:
    """A share of the points drawn anew, whatever the residual; the others stay.

    A least-squares fit to a wholly new set can jump; half of the old points hold it.

    Args:
        keep: share of the points that stay, in (0, 1).
    """

    keep: float = 0.5
    growth = 0

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1:
            raise UserError(f"renewal: expected 0 < keep < 1, got {self.keep!r}")

    def __call__(self, x: np.ndarray, draw: Draw, size: Size, rng: np.random.Generator) -> Chosen:
        kept = rng.permutation(len(x))[: round(self.keep * len(x))]
        return np.concatenate((x[kept], draw(len(x) - len(kept)))), None


def residual_size(model: "nn.Module", objective: "CollocationLoss", x: np.ndarray) -> np.ndarray:
    """Σ_k |r_k| / mean |r_k| over the equations at `x` `[n, d]`; what is not finite counts as 0.

    Not finite at a point of the next step is found there and named.
    """
    parameter = next(model.parameters())
    at = torch.from_numpy(x).to(parameter.device, parameter.dtype)
    parts = [objective.equations(model, Points(part)) for part in at.split(CHUNK)]
    total = np.zeros(len(x))
    for name in parts[0]:
        size = torch.cat([part[name] for part in parts]).abs().double().cpu().numpy()
        size = np.nan_to_num(size, nan=0.0, posinf=0.0)
        mean = size.mean()
        total += size / mean if mean > 0 else size
    return total
