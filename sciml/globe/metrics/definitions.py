"""What scores of forecasts are, on NumPy arrays and tensors alike, one number per field.

    ⟨x⟩ = Σ_i a_i x_i,  Σ a_i = 1         f forecast, t truth, c climatology; f' = f - c, t' = t - c

    squared error       ⟨(f - t)²⟩                    its root after the mean over forecasts: RMSE
    error               ⟨f - t⟩                       mean over forecasts: bias
    anomaly correlation ⟨f' t'⟩ / √(⟨f'²⟩ ⟨t'²⟩)      mean over forecasts: ACC
    activity            √⟨(f' - ⟨f'⟩)²⟩               squared mean over forecasts
    fair CRPS           ⟨ 1/M Σ |x_m - t| - 1/(2M(M-1)) ΣΣ |x_m - x_n| ⟩

Fields have the axes of `area` last. RMSE and ACC are WeatherBench 2's: S. Rasp et al., J. Adv.
Model. Earth Syst. 16 (2024) e2023MS004019, section 3; activity as ECMWF reports it.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from torch import Tensor

from sciml.contracts import UserError

Array = TypeVar("Array", np.ndarray, Tensor)


def cell_areas(lat: np.ndarray, n_lon: int) -> np.ndarray:
    """Shares `[lat, lon]` as WeatherBench 2 weighs: bands between midpoints, out to the poles.

    The areas of `calculus.sphere` grids are quadrature weights, which integrate exactly and differ
    by O(Δφ²); scores that are compared with published ones want these.

    Args:
        lat: `[lat]` degrees, in either order.
        n_lon: points on each circle.
    """
    lat = np.asarray(lat, dtype=np.float64)
    order = np.argsort(lat)
    inner = (lat[order][1:] + lat[order][:-1]) / 2
    bands = np.diff(np.sin(np.radians(np.concatenate([[-90.0], inner, [90.0]]))))
    share = np.empty_like(bands)
    share[order] = bands / bands.sum()
    return np.repeat(share[:, None] / n_lon, n_lon, axis=1)


def area_mean(x: Array, area: Array) -> Array:
    """⟨x⟩ over the last axes, those of `area`."""
    if x.shape[x.ndim - area.ndim :] != area.shape:
        raise UserError(
            f"metrics: expected fields on a grid of {tuple(area.shape)}, got {tuple(x.shape)}; "
            "give the areas of the forecast's own grid"
        )
    return (x * area).sum(axis=tuple(range(-area.ndim, 0)))


def squared_error(forecast: Array, truth: Array, area: Array) -> Array:
    """⟨(f - t)²⟩."""
    return area_mean((forecast - truth) ** 2, area)


def error(forecast: Array, truth: Array, area: Array) -> Array:
    """⟨f - t⟩."""
    return area_mean(forecast - truth, area)


def anomaly_correlation(forecast: Array, truth: Array, climatology: Array, area: Array) -> Array:
    """⟨f' t'⟩ / √(⟨f'²⟩ ⟨t'²⟩); NaN where one has no anomaly."""
    f, t = forecast - climatology, truth - climatology
    return area_mean(f * t, area) / (area_mean(f**2, area) * area_mean(t**2, area)) ** 0.5


def activity(field: Array, climatology: Array, area: Array) -> Array:
    """⟨(f' - ⟨f'⟩)²⟩, the square of the activity."""
    anomaly = field - climatology
    mean = area_mean(anomaly, area)
    return area_mean((anomaly - mean[(..., *[None] * area.ndim)]) ** 2, area)


def fair_crps(ensemble: Array, truth: Array, area: Array) -> Array:
    """Area mean of the fair score; members `[M, …]` come first.

    Raises:
        UserError: fewer than two members.
    """
    members = len(ensemble)
    if members < 2:
        raise UserError(f"CRPS: expected an ensemble of at least 2 members, got {members}")
    between = sum(
        area_mean(abs(ensemble[m] - ensemble[n]), area) for m in range(members) for n in range(m)
    )
    return area_mean(abs(ensemble - truth), area).mean(axis=0) - between / (members * (members - 1))


def over_forecasts(
    score: Callable[..., Array], *fields: Array, area: Array, root: bool = False
) -> Array:
    """Mean of a score over the first axis: `[init, lead, channel, *grid]` → `[lead, channel]`.

    Args:
        score: one of those above; `fields` are what it takes before `area`.
        root: of the mean: RMSE of `squared_error`, activity of `activity`.
    """
    mean = score(*fields, area).mean(axis=0)
    return mean**0.5 if root else mean


def rmse(forecast: Array, truth: Array, area: Array) -> Array:
    """Root mean square error `[lead, channel]` of `[init, lead, channel, *grid]`."""
    return over_forecasts(squared_error, forecast, truth, area=area, root=True)


def bias(forecast: Array, truth: Array, area: Array) -> Array:
    """Mean error `[lead, channel]` of `[init, lead, channel, *grid]`."""
    return over_forecasts(error, forecast, truth, area=area)


def acc(forecast: Array, truth: Array, climatology: Array, area: Array) -> Array:
    """Anomaly correlation `[lead, channel]`; `climatology` `[channel, *grid]` or of every time."""
    return over_forecasts(anomaly_correlation, forecast, truth, climatology, area=area)
