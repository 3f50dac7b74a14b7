"""What the pictures of forecasts say: titles and units, legends, order, where curves end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure

from sciml.calculus.sphere.grids import gauss
from sciml.drawing.sheet import sheet
from sciml.globe.figures import forecasts


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures by name, as they are drawn."""
    found: dict[str, Figure] = {}

    @contextmanager
    def kept(run: Path, name: str, size: tuple[float, float]) -> Iterator[tuple[Figure, Path]]:
        with sheet(run, name, size) as (figure, path):
            found[name] = figure
            yield figure, path

    for module in (forecasts,):
        monkeypatch.setattr(module, "sheet", kept)
    return found


def result(field: np.ndarray, name: str = "geopotential", gain: float = 1.1) -> xarray.Dataset:
    """A truth `[lat, lon]` on a Gaussian grid at 24 and 48 h, and a forecast `gain` times it."""
    lat, lon = gauss(field.shape[0]).lat, gauss(field.shape[0]).lon
    axes = ("time", "prediction_timedelta", "latitude", "longitude")
    truth = np.stack([field, 2 * field])[None]
    attributes = {"units": "m2 s-2"}
    return xarray.Dataset(
        {name: (axes, gain * truth, attributes), f"{name}_reference": (axes, truth, attributes)},
        coords={
            "time": np.array(["2000-01-01T06"], "M8[ns]"), "latitude": lat, "longitude": lon,
            "prediction_timedelta": np.array([24, 48], "m8[h]").astype("m8[ns]"),
        },
    )  # fmt: skip


def zonal(n: int) -> np.ndarray:
    return np.outer(np.sin(np.radians(gauss(n).lat)), np.ones(2 * n))


def test_maps_say_when_and_in_which_unit(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    forecasts.draw(result(zonal(8)), tmp_path)
    assert drawn["maps"].get_suptitle() == "start 2000-01-01T06, lead time 48 h"
    titles = [axes.get_title(loc="left") for axes in drawn["maps"].axes if axes.get_title("left")]
    assert titles == [
        "geopotential (m2 s-2), forecast", "what came true (m2 s-2)", "difference (m2 s-2)",
    ]  # fmt: skip
