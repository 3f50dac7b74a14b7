"""What the pictures of forecasts say: titles and units, legends, order, where curves end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray
from matplotlib.figure import Figure

from sciml.calculus.sphere import Harmonics, ReducedGaussian
from sciml.calculus.sphere.grids import gauss
from sciml.drawing.sheet import sheet
from sciml.globe.figures import curves, ensembles, forecasts, one_day, scores


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures by name, as they are drawn."""
    found: dict[str, Figure] = {}

    @contextmanager
    def kept(run: Path, name: str, size: tuple[float, float]) -> Iterator[tuple[Figure, Path]]:
        with sheet(run, name, size) as (figure, path):
            found[name] = figure
            yield figure, path

    for module in (ensembles, forecasts, scores):
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


def judged(channels: int, hours: tuple[int, ...] = (6, 12, 24), **more: float) -> scores.Table:
    """The same scores of many channels; `more` by kind."""
    values = {"rmse": 2.0, scores.RATIO: 0.5, **more}
    names = [f"c{i}" for i in range(channels)]
    return scores.arranged(
        {f"{k}/{n}/{h}h": v for k, v in values.items() for n in names for h in hours}
    )


ENSEMBLE = {"crps": 1.0, "spread": 1.5, "spread_over_error": 0.8}


def labels(axes) -> list[str]:
    return axes.get_legend_handles_labels()[1]


def test_an_ensemble_is_named_and_measured_against_one(
    tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    captions = [text for _, text in scores.draw(judged(10, **ENSEMBLE), tmp_path, {})]
    assert labels(drawn["lead_times"].axes[0]) == [
        "ensemble mean", "spread of the ensemble", "persistence",
    ]  # fmt: skip
    last = drawn["ensemble"].axes[-1]
    assert labels(last)[-1] == "honest" and list(last.lines[-1].get_ydata()) == [1, 1]
    assert last.get_ylim()[1] > 1 and last.get_legend() is not None
    assert len(labels(last)) == 9  # as many as there are colours, and the line at 1
    seen = {text for axes in drawn["ensemble"].axes for text in labels(axes)}
    seen |= {axes.get_ylabel().removeprefix("error of ") for axes in drawn["ensemble"].axes}
    for i in range(10):
        assert (f"c{i}" not in seen) == (f"c{i}" in captions[-1].partition("Left out")[2])


@pytest.mark.parametrize(("channels", "missing"), [(7, 0), (12, 0), (13, 1), (69, 57)])
def test_no_channel_is_dropped_in_silence(
    tmp_path: Path, drawn: dict[str, Figure], channels: int, missing: int
) -> None:
    _, (_, caption) = scores.draw(judged(channels, hours=(6,)), tmp_path, {})
    shown = [a.get_ylabel() for a in drawn["lead_times"].axes if a.get_visible()]
    left = caption.partition("Left out for want of room: ")[2].removesuffix(".")
    assert len(shown) == channels - missing == len(set(shown))
    assert len([name for name in left.split(", ") if name]) == missing
    (legend,) = drawn["lead_times"].legends
    assert legend.get_title().get_text() == (f"12 of {channels} channels" if missing else "")


def test_some_are_spread_evenly_over_all() -> None:
    assert curves.some(list(range(11)), 6) == [0, 1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    ("last", "step"), [(6, 1), (24, 6), (48, 6), (72, 24), (240, 48), (24 * 365 * 40, 87600)]
)
def test_ticks_are_few_and_at_round_hours(last: int, step: int) -> None:
    axes = Figure().subplots()
    curves.by_lead(axes, np.array([last / 2, last]), {"forecast": np.ones(2)}, "")
    assert list(np.unique(np.diff(axes.get_xticks()))) == [step]
    assert axes.get_xticks()[-1] <= last


@pytest.mark.parametrize("kind", [gauss, lambda n: ReducedGaussian(n // 2)])
def test_spectra_end_where_the_truth_does(kind: Callable[[int], Any]) -> None:
    """Scalars and winds of degree 12 on a grid for more, rounded as files are; and of all."""
    grid = kind(32)
    harmonics = Harmonics(grid).double()
    l = torch.arange(harmonics.truncation + 1.0).double()
    size = (3, len(l), len(l), 2)
    some = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    there = l[None] <= l[:, None]
    some = some * (there / (1 + l[:, None]) ** 3)[..., None]  # power falls as l⁻⁵

    def degree(last: int, take: Callable[[torch.Tensor], torch.Tensor], mean: float = 0.0) -> int:
        field = take(some * (l <= last)[:, None, None]) + mean
        return forecasts.resolved(field.float().numpy(), harmonics)

    assert degree(12, harmonics.synthesis, mean=3.0) == 12
    for component in (0, 1):
        assert degree(12, lambda a, c=component: harmonics.wind(a, 0.5 * a)[c]) == 12
    assert degree(harmonics.truncation, harmonics.synthesis) == harmonics.truncation
    lost = np.full((1, *grid.shape), np.nan)
    assert forecasts.resolved(lost, harmonics) == harmonics.truncation


def test_spectra_match_truths_to_leads_and_mark_what_leaves(
    tmp_path: Path, drawn: dict[str, Figure]
) -> None:
    """A forecast of 1.5 times the truth has 2.25 times its power everywhere: off the axis."""
    field = zonal(16) + 0.3 * zonal(16) ** 3  # degrees 1 and 3
    *_, (_, caption) = forecasts.draw(result(field, gain=1.5), tmp_path)
    upper, lower = drawn["spectra"].axes
    forecast, truth, later, truth_later, _ = upper.lines
    assert forecast.get_color() == truth.get_color() != later.get_color()
    assert later.get_color() == truth_later.get_color()
    assert [line.get_linestyle() for line in (truth, truth_later)] == ["--", "--"]
    for one, other in ((forecast, truth), (later, truth_later)):
        np.testing.assert_allclose(one.get_ydata()[::2], 2.25 * other.get_ydata()[::2])
    assert list(truth.get_xdata()) == [1, 2, 3]
    marks = [line for line in lower.lines if line.get_marker() == "^"]
    assert len(marks) == 2 and all({1, 3} <= set(mark.get_xdata()) for mark in marks)
    assert all((mark.get_ydata() >= lower.get_ylim()[1]).all() for mark in marks)
    assert "l = 3, where the truth does; the grid resolves 15" in caption


def test_channels_have_their_own_order(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    """Metrics come by the alphabet, channels as the system has them; others come last."""
    units = {"z": "m2 s-2", "u": "m s-1", "v": "m s-1"}
    found = {f"{k}/{c}/6h": 0.5 for k in ("rmse", scores.RATIO) for c in ("a", "u", "v", "z")}
    scores.draw(scores.arranged(found), tmp_path, units)
    rows = [text.get_text() for text in drawn["scorecard"].axes[0].get_yticklabels()]
    assert rows == ["z", "u", "v", "a"]
    panels = [axes.get_ylabel() for axes in drawn["lead_times"].axes]
    assert panels[:2] == ["RMSE of z (m2 s-2)", "RMSE of u (m s-1)"]
    history = {f"metric/rmse/{c}/24h": 1.0 for c in ("u", "v", "z")} | {"step": 1, "loss/mse": 1}
    assert [k.split("/")[2] for k in one_day(history, units) if "metric" in k] == ["z", "u", "v"]


def test_a_cell_has_the_colour_of_the_number_in_it() -> None:
    axes = Figure().subplots()
    curves.scorecard(axes, np.array([[0.996, 1.0, 1.0049, 1.006]]), ["z"], [6, 12, 18, 24], "")
    shown = axes.collections[0]
    cells = shown.cmap(shown.norm(np.ravel(shown.get_array())))
    assert [text.get_text() for text in axes.texts] == ["1.00", "1.00", "1.00", "1.01"]
    assert (cells[:3] == cells[0]).all()
    assert shown.norm(1.0) == 0.5, "1 is white"
