"""Sun and clock against closed forms, almanac values and NumPy's calendar."""

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import gauss
from sciml.contracts import UserError
from sciml.weather.forcings import (
    DayOfYear,
    LocalHour,
    Place,
    Together,
    TopOfAtmosphere,
    Unchanging,
    part_of_year,
)
from sciml.weather.sun import hour_angle, insolation, sun
from tests.weather import planets

GRID = gauss(32)


def at(*moments: str) -> torch.Tensor:
    return torch.from_numpy(np.array(moments, dtype="datetime64[s]").astype(np.int64))


@pytest.mark.parametrize(
    ("moment", "degrees"),
    [
        ("2020-03-20T03:50", 0.0),  # equinoxes and solstices of the almanac
        ("2020-09-22T13:31", 0.0),
        ("2020-06-20T21:44", 23.437),
        ("2020-12-21T10:02", -23.437),
        ("1979-03-21T05:22", 0.0),
    ],
)
def test_declination(moment: str, degrees: float) -> None:
    assert abs(float(torch.rad2deg(sun(at(moment)).declination)) - degrees) < 0.01


@pytest.mark.parametrize(
    ("moment", "minutes"),
    [("2020-11-03T12:00", 16.46), ("2020-02-11T12:00", -14.23), ("2020-04-15T12:00", -0.05)],
)
def test_equation_of_time(moment: str, minutes: float) -> None:
    found = float(sun(at(moment)).equation_of_time) * 720 / np.pi
    assert abs(found - minutes) < 0.2


def test_distance_at_perihelion_and_aphelion() -> None:
    """0.98324 and 1.01669 au in 2020."""
    distance = sun(at("2020-01-05T07:48", "2020-07-04T11:35")).nearness ** -0.5
    torch.testing.assert_close(
        distance, torch.tensor([0.98324, 1.01669]).double(), atol=1e-4, rtol=0
    )


def test_the_sun_is_highest_when_the_hour_angle_is_zero() -> None:
    """On November 3 true noon at Greenwich is at 11:43:32 UTC."""
    moment = at("2020-11-03T11:43:32")
    assert abs(float(hour_angle(moment, torch.zeros(1, 1), sun(moment)))) < 1e-3
    angle = hour_angle(moment, torch.tensor([[90.0]]), sun(moment))
    assert abs(float(angle) - np.pi / 2) < 1e-3


def test_equinox_noon_and_midnight() -> None:
    """cos Z = cos φ at true noon, and half of the globe is dark."""
    moment = at("2020-03-20T03:50")
    now = sun(moment)
    noon = torch.rad2deg(-hour_angle(moment, torch.zeros(1, 1), now))[0]
    lat = torch.tensor([0.0, 30.0, 60.0, -45.0])
    received = insolation(moment, lat, noon.expand(4))[0] / now.nearness
    torch.testing.assert_close(received, torch.deg2rad(lat.double()).cos(), atol=2e-4, rtol=0)
    assert not insolation(moment, lat, noon.expand(4) + 180).any()


def test_the_globe_receives_a_quarter() -> None:
    lat, lon = (torch.from_numpy(x) for x in GRID.cells)
    area = torch.from_numpy(GRID.area).flatten()
    times = at("2021-01-15T00:00", "2021-05-09T07:30", "2021-10-01T18:00")
    mean = (insolation(times, lat, lon) * area).sum(-1) / sun(times).nearness
    torch.testing.assert_close(mean, torch.full_like(mean, 0.25), rtol=2e-3, atol=0)


@pytest.mark.parametrize("moment", ["2021-01-15T12:00", "2021-06-21T12:00", "2021-10-01T12:00"])
def test_daily_mean(moment: str) -> None:
    """Q = S_0/π (1/R)² (h_0 sin φ sin δ + cos φ cos δ sin h_0)."""
    lat = np.array([-89.0, -67.0, -30.0, 0.0, 45.0, 70.0, 89.0])
    end = at(moment) + 43_200
    now = sun(at(moment))
    phi, delta = np.radians(lat), float(now.declination)
    h0 = np.arccos(np.clip(-np.tan(phi) * np.tan(delta), -1, 1))
    exact = h0 * np.sin(phi) * np.sin(delta) + np.cos(phi) * np.cos(delta) * np.sin(h0)
    exact *= float(now.nearness) / np.pi
    found = insolation(end, torch.from_numpy(lat), torch.full((7,), 17.0), window=86_400.0)[0]
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-12)
    dark = lat[np.sign(delta) * np.sign(lat) < 0]
    assert ((found.numpy() < 1e-12) == (h0 < 1e-9)).all() and len(dark)


@pytest.mark.parametrize("window", [3600.0, 21_600.0, 129_600.0])
def test_means_over_a_window_are_integrals(window: float) -> None:
    lat = torch.tensor([-80.0, -20.0, 10.0, 66.0])
    lon = torch.tensor([0.0, 100.0, 200.0, 300.0])
    end = at("2021-05-09T07:30")
    steps = ((torch.arange(20_000) + 0.5) / 20_000 * window).round().long()
    sampled = insolation(end - steps, lat, lon).mean(0)
    exact = insolation(end, lat, lon, window)[0]
    torch.testing.assert_close(exact, sampled, atol=2e-3 * max(1, window / 86_400), rtol=0)


def test_polar_night_and_day() -> None:
    lat, lon = torch.tensor([85.0]), torch.tensor([0.0])
    winter = at("2020-12-21T00:00") + 3600 * torch.arange(24)
    summer = at("2020-06-20T00:00") + 3600 * torch.arange(24)
    assert not insolation(winter, lat, lon).any()
    assert (
        insolation(summer, lat, lon).min() > 0.3
    )  # sin(85° - 90° + 23.4°) = 0.316, over R² = 1.033


def test_part_of_year_against_numpys_calendar() -> None:
    days = np.arange("1890-01-01", "2110-01-01", dtype="datetime64[D]")
    time = days.astype("datetime64[s]") + np.timedelta64(12_345, "s")
    year = time.astype("datetime64[Y]")
    begin, end = (y.astype("datetime64[s]") for y in (year, year + 1))
    exact = (time - begin) / (end - begin)
    found = part_of_year(torch.from_numpy(time.astype(np.int64)))
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-12)
    edges = at("1899-12-31T23:59:59", "1900-01-01T00:00:00", "2000-12-31T23:59:59")
    assert part_of_year(edges)[1] == 0 and part_of_year(edges)[[0, 2]].min() > 0.99999


def test_local_hour_turns_with_longitude() -> None:
    time = at("2021-03-03T06:00")[None]
    sine, cosine = LocalHour()(time, GRID)[0, 0]
    lon = torch.deg2rad(torch.from_numpy(GRID.lon)).float()
    torch.testing.assert_close(sine[3], lon.cos(), atol=1e-6, rtol=0)  # six o'clock at Greenwich
    torch.testing.assert_close(cosine[3], -lon.sin(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("grid", [GRID, planets.octahedral(4)], ids=["gauss", "reduced"])
def test_together_on_any_grid(grid) -> None:
    orography = np.arange(np.prod(grid.shape), dtype=float).reshape(1, *grid.shape)
    parts = [
        TopOfAtmosphere(3600.0), LocalHour(), DayOfYear(), Place(("sin_lat", "sin_lon", "cos_lon")),
        Unchanging(("orography",), orography),
    ]  # fmt: skip
    forcing = Together(parts)
    time = at("2021-01-01T00:00", "2021-01-01T06:00", "2021-01-01T12:00").view(1, 3)
    field = forcing(time, grid)
    assert field.shape == (1, 3, len(forcing.names), *grid.shape) and field.dtype == torch.float32
    assert forcing.names[0] == "toa_insolation" and forcing.names[-1] == "orography"
    assert field.abs().max() < 3 and field.isfinite().all()
    ground = field[0, 0, -1].double()
    assert abs(float(ground.mean())) < 1e-5 and abs(float(ground.std()) - 1) < 0.01


def test_refused() -> None:
    with pytest.raises(UserError, match="names among sin_lat"):
        Place(("latitude",))
    with pytest.raises(UserError, match="2 fields of finite values"):
        Unchanging(("a", "b"), np.zeros((1, 4)))
    with pytest.raises(UserError, match=r"shape \[32, 64\] as the grid, got \[4\]"):
        Unchanging(("a",), np.zeros((1, 4)))(at("2021-01-01")[None], GRID)
