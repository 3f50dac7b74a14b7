"""Two map projections of latitude and longitude in degrees; the sphere has the radius 1.

    Robinson       x = 0.8487 X(φ) (λ - λ0),   y = 1.3523 Y(φ) sign φ        X, Y tabulated
    orthographic   x = cos φ sin(λ - λ0),      y = cos φ0 sin φ - sin φ0 cos φ cos(λ - λ0)

Source: A. H. Robinson, Int. Yearb. Cartogr. 14 (1974) 145-155; J. P. Snyder, Map Projections - A
Working Manual, USGS Professional Paper 1395 (1987), chapter 20.
"""

from collections.abc import Callable

import numpy as np

#: X and Y of every fifth degree of latitude, from 0 to 90.
_X = np.array([
    1.0000, 0.9986, 0.9954, 0.9900, 0.9822, 0.9730, 0.9600, 0.9427, 0.9216, 0.8962,
    0.8679, 0.8350, 0.7986, 0.7597, 0.7186, 0.6732, 0.6213, 0.5722, 0.5322,
])  # fmt: skip
_Y = np.array([
    0.0000, 0.0620, 0.1240, 0.1860, 0.2480, 0.3100, 0.3720, 0.4340, 0.4958, 0.5571,
    0.6176, 0.6769, 0.7346, 0.7903, 0.8435, 0.8936, 0.9394, 0.9761, 1.0000,
])  # fmt: skip

#: `(lat, lon) -> (x, y)`; NaN where a place is not seen.
Projection = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def robinson(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The whole sphere; `lon` counts from the middle of the map, -180 to 180."""
    at = np.abs(lat) / 5
    columns = np.arange(len(_X))
    x = 0.8487 * np.interp(at, columns, _X) * np.radians(lon)
    return x, 1.3523 * np.interp(at, columns, _Y) * np.sign(lat)


def orthographic(centre: tuple[float, float] = (45.0, 0.0)) -> Projection:
    """The half of the sphere that is seen from above `centre` (lat, lon)."""
    lat0, lon0 = np.radians(centre)

    def project(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        phi, lam = np.radians(lat), np.radians(lon) - lon0
        height = np.sin(lat0) * np.sin(phi) + np.cos(lat0) * np.cos(phi) * np.cos(lam)
        x = np.cos(phi) * np.sin(lam)
        y = np.cos(lat0) * np.sin(phi) - np.sin(lat0) * np.cos(phi) * np.cos(lam)
        hidden = height < 0
        return np.where(hidden, np.nan, x), np.where(hidden, np.nan, y)

    return project
