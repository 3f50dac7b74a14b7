"""How well a recording pins the constants down: Fisher's information and confidence intervals.

    F = Jᵀ J,    J = ∂r/∂θ          r: residuals in units of their noise
    C = s² F⁻¹,  s² = |r|²/(n - p)  covariance of the estimate

With s² from the residuals, a model that does not fit widens the intervals. θ are the constants
themselves; J is by central differences of whole simulations, 2 p of them.

Of a field there are too many for that; the diagonal of F says how well one cell could be known if
all others were, which no estimate from the recording alone can be better than (Cramér and Rao):

    F_jj = E [(Jᵀ v)_j²]      v: random signs, one adjoint pass each

Source: G. A. F. Seber, C. J. Wild, Nonlinear Regression (1989), §§ 2.1 and 5.1; C. Bekas,
E. Kokiopoulou, Y. Saad, Appl. Numer. Math. 57 (2007) 1214-1229 (diagonals from random signs).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import t as student
from torch import Tensor

#: Share of a constant by which it is changed for a difference.
CHANGE = 1e-4


@final
@dataclass(frozen=True, eq=False)
class Confidence:
    """Estimates with their covariance.

    Args:
        names: of the constants.
        values: `[p]`, in their own units.
        covariance: `[p, p]`.
        freedom: n - p.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, " p"]
    covariance: Float[np.ndarray, "p p"]
    freedom: int

    @property
    def deviation(self) -> Float[np.ndarray, " p"]:
        """Standard deviations; infinite where the recording says nothing."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> Float[np.ndarray, "p p"]:
        """Near ±1 where two constants cannot be told apart."""
        return self.covariance / np.outer(self.deviation, self.deviation)

    def interval(self, level: float = 0.95) -> Float[np.ndarray, "p 2"]:
        """Two-sided confidence intervals."""
        half = student.ppf((1 + level) / 2, self.freedom) * self.deviation
        return np.column_stack([self.values - half, self.values + half])


def confidence(
    residuals: Callable[[Mapping[str, Tensor]], Float[Tensor, " n"]], values: Mapping[str, Tensor]
) -> Confidence:
    """Of scalar constants at their estimates.

    Args:
        residuals: in units of the noise, from the constants by name.
        values: the estimates.
    """
    names = tuple(values)
    with torch.no_grad():
        left = residuals(values).numpy()
        columns = []
        for name in names:
            step = CHANGE * values[name].abs()
            up, down = (residuals({**values, name: values[name] + s * step}) for s in (1, -1))
            columns.append(((up - down) / (2 * step)).numpy())
    J = np.column_stack(columns)
    freedom = len(left) - len(names)
    spread = float(left @ left) / freedom
    covariance = spread * _inverse(J.T @ J)
    return Confidence(names, np.array([float(v) for v in values.values()]), covariance, freedom)


def diagonal(
    residuals: Float[Tensor, " n"], field: Float[Tensor, " m"], draws: int, seed: int = 0
) -> Float[Tensor, " m"]:
    """F_jj of a field, from `draws` adjoint passes; each value is off by about √(2/draws).

    Args:
        residuals: in units of the noise, with the graph that leads to `field`.
    """
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(field)
    for _ in range(draws):
        signs = torch.randint(0, 2, residuals.shape, generator=generator).to(residuals) * 2 - 1
        (row,) = torch.autograd.grad(residuals, field, signs, retain_graph=True)
        total += row.square()
    return total.detach() / draws


def _inverse(information: np.ndarray) -> np.ndarray:
    """F⁻¹, scaled to a unit diagonal first; infinite where F is singular."""
    scale = np.sqrt(np.diag(information))
    if not (scale > 0).all():
        return np.full(information.shape, np.inf)
    try:
        found = np.linalg.inv(information / np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return np.full(information.shape, np.inf)
    return found / np.outer(scale, scale)
