"""Grids on the sphere: where the points lie, and what share of the sphere each stands for.

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

from sciml.contracts import UserError

#: Degrees within which a latitude counts as the formula's own; files hold float32.
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
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        lat, lon = self.lat, self.lon
        if lat.ndim != 1 or len(lat) < 2 or not np.all(np.diff(lat) > 0) or abs(lat).max() > 90.001:
            raise UserError(
                "grid: expected latitudes that ascend from south to north within ±90 degrees, "
                f"got {len(lat)} from {lat.flat[0]:g} to {lat.flat[-1]:g}"
            )
        steps = np.diff(lon)
        if lon.ndim != 1 or len(lon) < 2 or steps.min() <= 0 or np.ptp(steps) > 2 * CLOSE:
            raise UserError(
                "grid: expected equally spaced, ascending longitudes, "
                f"got {len(lon)} from {lon.flat[0]:g} to {lon.flat[-1]:g}"
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_lat, n_lon)."""
        return len(self.lat), len(self.lon)

    @property
    def is_global(self) -> bool:
        """Whether the circles close and the latitudes reach as far as the poles' cells."""
        step = (self.lon[-1] - self.lon[0]) / (len(self.lon) - 1)
        gap = max(np.diff(self.lat)) if len(self.lat) > 1 else 180.0
        covered = 90 - min(-self.lat[0], self.lat[-1]) <= gap
        return bool(abs(step * len(self.lon) - 360) < 0.01 and covered)

    @cached_property
    def kind(self) -> str:
        """gauss, equiangular, equiangular_offset or other."""
        n = len(self.lat)
        known = {
            "equiangular": np.linspace(-90, 90, n),
            "equiangular_offset": (np.arange(n) + 0.5) * 180 / n - 90,
            "gauss": np.degrees(np.arcsin(np.polynomial.legendre.leggauss(n)[0])),
        }
        for name, lat in known.items():
            if self.is_global and np.abs(self.lat - lat).max() < CLOSE:
                return name
        return "other"

    @cached_property
    def weights(self) -> np.ndarray:
        """Quadrature weights w_j `[n_lat]` of ∫ dμ, by kind; they sum to 2 on a global grid."""
        n = len(self.lat)
        rules = {"gauss": _gauss_legendre, "equiangular": _clenshaw_curtis}
        if self.kind == "other":
            return _bands(self.lat)
        return rules.get(self.kind, _fejer)(n)

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


def gauss(n_lat: int, n_lon: int | None = None) -> LatLon:
    """The Gaussian grid; twice as many longitudes as latitudes unless said otherwise."""
    lat = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(n_lat)[0]))
    return LatLon(lat, _longitudes(n_lon or 2 * n_lat))


def equiangular(n_lat: int, n_lon: int | None = None, poles: bool = True) -> LatLon:
    """Equal steps of latitude, from pole to pole or half a step off them."""
    n_lon = n_lon or 2 * (n_lat - 1 if poles else n_lat)
    lat = np.linspace(-90, 90, n_lat) if poles else (np.arange(n_lat) + 0.5) * 180 / n_lat - 90
    return LatLon(lat, _longitudes(n_lon))


def _longitudes(n: int) -> np.ndarray:
    return np.arange(n) * 360.0 / n


def _gauss_legendre(n: int) -> np.ndarray:
    return np.polynomial.legendre.leggauss(n)[1]


def _clenshaw_curtis(n: int) -> np.ndarray:
    """∫ cos kθ sin θ dθ = 2/(1 - k²) for even k, applied to the cosine series through the nodes."""
    theta = np.pi * np.arange(n) / (n - 1)
    k = np.arange(0, n, 2)
    terms = 2 / (1 - k**2) * np.where((k == 0) | (k == n - 1), 0.5, 1.0)
    w = 2 / (n - 1) * np.cos(np.outer(theta, k)) @ terms
    w[[0, -1]] /= 2
    return w


def _fejer(n: int) -> np.ndarray:
    theta = np.pi * (np.arange(n) + 0.5) / n
    k = np.arange(0, n, 2)
    terms = 2 / (1 - k**2) * np.where(k == 0, 0.5, 1.0)
    return 2 / n * np.cos(np.outer(theta, k)) @ terms


def _bands(lat: np.ndarray) -> np.ndarray:
    """Height in μ of the band between the midpoints of neighbouring latitudes."""
    inner = (lat[1:] + lat[:-1]) / 2
    first, last = lat[0] - (inner[0] - lat[0]), lat[-1] + (lat[-1] - inner[-1])
    edges = np.concatenate([[max(first, -90)], inner, [min(last, 90)]])
    return np.diff(np.sin(np.radians(edges)))
