"""The film of a forecast: its frames, its size, and when there is none."""

from pathlib import Path

import numpy as np
import pytest
import xarray
from PIL import Image, ImageChops

from sciml.globe.figures import Figures, animation


def result(leads: int, noise: float = 0.0, moved: float = 1.0) -> xarray.Dataset:
    """A wave that turns eastward, and a forecast of it that is late by half."""
    lat, lon = np.linspace(-80, 80, 17), np.arange(0, 360, 10.0)
    steps = np.arange(1, leads + 1)
    phase = np.radians(lon)[:, None] - 0.2 * moved * steps[:, None, None]
    wave = np.sin(2 * phase) * np.cos(np.radians(lat))
    late = np.sin(2 * phase + 0.2 * moved * steps[:, None, None]) * np.cos(np.radians(lat))
    late = late + noise * np.random.default_rng(0).normal(size=late.shape)
    axes = ("time", "prediction_timedelta", "longitude", "latitude")
    attributes = {"units": "m s-1"}
    return xarray.Dataset(
        {"wind": (axes, late[None], attributes), "wind_reference": (axes, wave[None], attributes)},
        coords={
            "time": np.array(["2000-01-01T06"], "M8[ns]"), "latitude": lat, "longitude": lon,
            "prediction_timedelta": (steps * 6).astype("m8[h]").astype("m8[ns]"),
        },
    )  # fmt: skip


def frames(path: Path) -> list[Image.Image]:
    film = Image.open(path)
    found = []
    for number in range(film.n_frames):
        film.seek(number)
        found.append(film.convert("RGB"))
    return found


def changed(one: Image.Image, two: Image.Image, top: int = 45, below: int = 1000) -> int:
    """Pixels below the title that differ by more than a frame's choice of 256 colours does."""
    apart = np.asarray(ImageChops.difference(one, two)).max(-1)[top:below]
    return int((apart > 16).sum())


def test_a_frame_for_every_lead_and_the_same_colours_in_all(tmp_path: Path) -> None:
    path = animation.draw(result(3), tmp_path)
    assert path == tmp_path / "figures/forecast.gif" and path.stat().st_size < animation.BYTES
    moving = frames(path)
    assert len(moving) == 3
    assert changed(*moving[:2]) > 10_000

    still = frames(animation.draw(result(3, moved=0.0), tmp_path))
    assert changed(*still[:2]) < 200, "only the title says another lead"
    assert changed(*still[:2], top=0, below=45) > 20


def test_a_film_that_is_too_large_is_made_smaller(tmp_path: Path, monkeypatch) -> None:
    large = animation.draw(result(4, noise=2.0), tmp_path).stat().st_size
    monkeypatch.setattr(animation, "BYTES", large // 2)
    assert animation.draw(result(4, noise=2.0), tmp_path).stat().st_size <= large // 2


def test_no_film_without_maps_or_a_truth(tmp_path: Path) -> None:
    assert animation.draw(result(2).drop_vars("wind_reference"), tmp_path) is None
    cells = result(2).isel(longitude=0).rename(latitude="cell")
    assert animation.draw(cells, tmp_path) is None
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("truth", [True, False])
def test_a_run_has_its_film_beside_the_report(tmp_path: Path, truth: bool) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    data = result(2) if truth else result(2).drop_vars("longitude").rename(longitude="cell")
    data.to_netcdf(tmp_path / "result.nc")
    drawn = Figures()(tmp_path)
    assert (tmp_path / "figures/forecast.gif").exists() == truth
    assert all(path.suffix == ".png" for path, _ in drawn)
