"""Grids of latitudes and longitudes: where the points lie, and what share of the sphere each has.

∫ f dΩ ≈ 2π/n_lon Σ_j w_j Σ_k f(φ_j, λ_k),      μ = sin φ,   Σ_j w_j = 2

kind                 latitudes φ_j                       w_j                  exact to degree in μ
gauss                roots of P_n(sin φ)                 Gauss-Legendre       2n - 1
equiangular          -90 … 90, both poles included       Clenshaw-Curtis      n - 1
equiangular_offset   half a step off the poles           Fejér, first rule    n - 1
other                any, ascending                      areas of the cells   0
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sciml.calculus.sphere.quadrature import clenshaw_curtis, fejer, gauss_legendre
from sciml.contracts import UserError

#: Degrees within which a coordinate counts as the formula's own; files hold float32.
CLOSE = 1e-3


@dataclass(frozen=True, eq=False)
class LatLon:
    """Circles of latitude with the same, equally spaced longitudes on each.

    Args:
        lat: `[n_lat]` degrees north, ascending: south first.
        lon: `[n_lon]` degrees east, ascending, equally spaced.

    Fields on it have the shape `[..., lat, lon]`.

    Raises:
        UserError: latitudes that do not ascend within ±90, longitudes that are not even.
    """

    lat: np.ndarray
    lon: np.ndarray

    def __post_init__(self) -> None:
        for name in ("lat", "lon"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        lat, lon = self.lat, self.lon
        if not _ascends(lat) or np.abs(lat).max() > 90 + CLOSE:
            raise UserError(
                "grid: expected latitudes that ascend from south to north within ±90 degrees, "
                f"got {_ends(lat)}"
            )
        if not _ascends(lon) or np.ptp(np.diff(lon)) > 2 * CLOSE:
            raise UserError(
                f"grid: expected equally spaced, ascending longitudes, got {_ends(lon)}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_lat, n_lon)."""
        return len(self.lat), len(self.lon)

    @property
    def closes(self) -> bool:
        """Whether the last longitude is one step before the first."""
        step = (self.lon[-1] - self.lon[0]) / (len(self.lon) - 1)
        return bool(abs(step * len(self.lon) - 360) < 0.01)

    @property
    def is_global(self) -> bool:
        """Whether the circles close and the latitudes reach as far as the poles' cells."""
        covered = 90 - min(-self.lat[0], self.lat[-1]) <= max(np.diff(self.lat))
        return bool(self.closes and covered)

    @cached_property
    def kind(self) -> str:
        """gauss, equiangular, equiangular_offset or other."""
        return next((name for name in RULES if self.is_global and self._follows(name)), "other")

    def _follows(self, rule: str) -> bool:
        return bool(np.abs(self.lat - RULES[rule](len(self.lat))[0]).max() < CLOSE)

    @cached_property
    def nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitudes and longitudes without the rounding of the file they came from, degrees."""
        n = len(self.lon)
        step = 360 / n if self.closes else (self.lon[-1] - self.lon[0]) / (n - 1)
        lat = self.lat if self.kind == "other" else RULES[self.kind](len(self.lat))[0]
        return lat, self.lon[0] + step * np.arange(n)

    @cached_property
    def weights(self) -> np.ndarray:
        """Quadrature weights w_j `[n_lat]` of ∫ dμ, by kind; they sum to 2 on a global grid."""
        if self.kind == "other":
            return np.diff(self.edges)
        return RULES[self.kind](len(self.lat))[1].copy()

    @cached_property
    def edges(self) -> np.ndarray:
        """Sines of latitude `[n_lat + 1]` between the circles, such that bands have their weights.

        Half way between the circles where there is no quadrature rule.
        """
        if self.kind != "other":
            return np.append(-1.0, np.cumsum(self.weights) - 1).clip(-1, 1)
        lat = self.lat
        inner = (lat[1:] + lat[:-1]) / 2
        south, north = 2 * lat[0] - inner[0], 2 * lat[-1] - inner[-1]
        ends = (-90, 90) if self.is_global else (max(south, -90), min(north, 90))
        return np.sin(np.radians(np.concatenate([ends[:1], inner, ends[1:]])))

    @cached_property
    def area(self) -> np.ndarray:
        """Share `[n_lat, n_lon]` of each cell in the whole; sums to 1."""
        w = self.weights / self.weights.sum()
        return np.repeat(w[:, None] / len(self.lon), len(self.lon), axis=1)

    @property
    def exact_degree(self) -> int:
        """Largest l whose products with one another are integrated exactly; 0 where none is."""
        n, n_lon = self.shape
        by_lat = {"gauss": n - 1, "equiangular": (n - 1) // 2, "equiangular_offset": (n - 1) // 2}
        return min(by_lat.get(self.kind, 0), (n_lon - 1) // 2)

    @property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Latitude and longitude `[n_lat·n_lon]` of every point, degrees, row by row."""
        lat, lon = np.meshgrid(self.lat, self.lon, indexing="ij")
        return lat.ravel(), lon.ravel()


#: Kind → (latitudes in degrees, weights) of n circles.
RULES = {"equiangular": clenshaw_curtis, "equiangular_offset": fejer, "gauss": gauss_legendre}


def gauss(n_lat: int, n_lon: int | None = None) -> LatLon:
    """The Gaussian grid; twice as many longitudes as latitudes unless said otherwise."""
    return LatLon(gauss_legendre(n_lat)[0], _longitudes(n_lon or 2 * n_lat))


def equiangular(n_lat: int, n_lon: int | None = None, poles: bool = True) -> LatLon:
    """Equal steps of latitude, from pole to pole or half a step off them."""
    lat = clenshaw_curtis(n_lat)[0] if poles else fejer(n_lat)[0]
    return LatLon(lat, _longitudes(n_lon or 2 * (n_lat - 1 if poles else n_lat)))


def _longitudes(n: int) -> np.ndarray:
    return np.arange(n) * 360.0 / n


def _ascends(x: np.ndarray) -> bool:
    return x.ndim == 1 and len(x) > 1 and bool(np.all(np.diff(x) > 0) and np.isfinite(x).all())


def _ends(x: np.ndarray) -> str:
    """Number, first and last value, for messages."""
    return f"{x.size} from {x.flat[0]:g} to {x.flat[-1]:g}" if x.size else "none"
