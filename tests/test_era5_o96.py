"""FastNet's three stages on an octahedral grid, from an archive of cells that the test writes."""

from pathlib import Path

import numpy as np
import planets
import pytest
import torch
import xarray

from sciml import cli, compose, runs
from sciml.calculus.sphere import Harmonics, equiangular
from sciml.calculus.sphere.reduced import ReducedGaussian
from sciml.export import load
from sciml.globe.archive import open_archive, open_forecast
from sciml.globe.channels import Channels
from sciml.globe.writer import ArchiveWriter
from sciml.training.phases import hand_over, lay_out

ROOT = Path(__file__).resolve().parents[1]
NAMES = ["z500", "u500", "v500", "t2m"]
GRID = ReducedGaussian(8)
CASE = "weather_era5_o96/default"
SMALL = [
    *("archive.channels=[z500,u500,v500,t2m]", "system.truncation=7", "windows.batch=2"),
    *("losses.msh_gradient.truncation=7", "windows.memory=true", "windows.spacing=2"),
    *("windows.split.train=[2000-01-01,2000-01-04]", "evaluation.steps=[1,4,7]"),
    *("windows.split.validation=[2000-01-05,2000-01-06]", "evaluation.degrees=[3]"),
    *("windows.split.test=[2000-01-07,2000-01-09]", "evaluation.spectra=[z500]"),
    *("network.width=8", "network.layers=1", "network.refinement=1"),
    *("phases.one_step.steps=4", "phases.one_step.schedule.steps=4"),
    *("phases.one_step.schedule.warmup=1", "phases.seven_steps.steps=1"),
    *("phases.spectral.steps=1", "trainer=cpu", "trainer.save_every=3"),
    *(f"phases.{p}.precision=float32" for p in ("one_step", "seven_steps", "spectral")),
]


@pytest.fixture(scope="module", autouse=True)
def planet(tmp_path_factory):
    """Nine days of waves that drift eastward by ten degrees in six hours, and land with a hill."""
    with planets.alone(tmp_path_factory.mktemp("planet")) as folder:
        (folder / "data").mkdir()
        written(folder / "data")
        yield folder / "data"


def written(folder: Path) -> None:
    """The archive and the fields that do not change."""
    times = 946_684_800 + 21_600 * np.arange(36)
    with ArchiveWriter(folder / "era5_o96.zarr", Channels.named(NAMES), GRID) as out:
        out.append(times, drifting(len(times)))
    lat, lon = GRID.cells
    hill = np.exp(-((lat - 40) ** 2 + (lon - 90) ** 2) / 400)
    fields = {"lsm": 1.0 * (hill > 0.1), "zs": 9e3 * hill, "standard_deviation_of_orography": hill,
              "slope_of_sub_gridscale_orography": hill / 2}  # fmt: skip
    units = {"zs": "m2 s-2", "standard_deviation_of_orography": "m"}
    static = xarray.Dataset(
        {
            n: ("cell", f.astype(np.float32), {"units": units.get(n, "1")})
            for n, f in fields.items()
        },
        {"latitude": ("cell", lat), "longitude": ("cell", lon)},
    )
    static.to_netcdf(folder / "era5_o96_static.nc")


def drifting(steps: int) -> np.ndarray:
    """`[T, C, cell]`: m = 1 … 3 waves of degree up to 5, each with its own phase."""
    lat, lon = (np.radians(x) for x in GRID.cells)
    moved = lon - np.radians(10) * np.arange(steps)[:, None]
    wave = np.cos(lat) * np.cos(moved) + np.cos(lat) ** 3 * np.cos(3 * moved)
    mean, size = (54e3, 0, 0, 285), (1e3, 8, 8, 8)
    shifted = [np.roll(wave, k, 0) for k in range(4)]
    return np.stack([m + s * w for m, s, w in zip(mean, size, shifted, strict=True)], 1)


def test_states_of_cells_come_back_as_written(planet: Path):
    archive = open_archive(planet / "era5_o96.zarr", NAMES)
    assert isinstance(archive.grid, ReducedGaussian) and archive.grid.kind == "octahedral"
    assert archive.shape == (36, 4, 2 * sum(20 + 4 * i for i in range(8)))
    np.testing.assert_allclose(archive.read(slice(0, 3)), drifting(36)[:3], rtol=1e-6, atol=1e-5)


def test_three_stages_lower_their_losses():
    parts = compose.build(compose.compose(CASE, SMALL))
    system, model = parts.system, parts.system.model
    assert len(system.data.forcings) == 12
    for stretch in lay_out(parts.phases):
        hand_over(stretch.phase.settings, (system.objective, system.data), stretch.name)
        batch = next(iter(system.data.train_dataloader(0, 0, 1)))
        assert batch.state.shape == (2, system.objective.steps + 1, 4, *GRID.shape)
        assert batch.forcing.shape == (2, system.objective.steps + 1, 12, *GRID.shape)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        totals = []
        for _ in range(6):
            optimizer.zero_grad()
            total = sum(system.objective(model, batch).values())
            total.backward()
            optimizer.step()
            totals.append(total.item())
        assert totals[-1] < totals[0], stretch.name
    assert [s.phase.settings["rollout"] for s in lay_out(parts.phases)] == [1, 7, 7]


def test_from_the_command_to_a_forecast_and_a_bundle(capsys):
    """run → forecast → export, on cells, with twelve forcings."""
    assert cli.main(["run", CASE, *SMALL, "run_dir=run"]) == 0, capsys.readouterr().err
    metrics = runs.read_metrics("run")
    assert 0 < metrics["rmse_over_persistence/z500/24h"] < 50
    assert metrics["power_ratio/z500/l3/6h"] > 0
    with xarray.open_dataset("run/result.nc") as result:
        assert set(np.unique(result.land_sea_mask)) == {0, 1}
    drawn = {path.name for path in Path("run/figures").iterdir()}
    assert {"maps.png", "spectra.png", "forecast.gif"} <= drawn
    asked = ["--start", "2000-01-07T00,2000-01-07T06", "--steps", "3", "--out", "f.zarr"]
    assert cli.main(["forecast", "run", *asked]) == 0, capsys.readouterr().err
    forecast = open_forecast("f.zarr")
    assert forecast["2m_temperature"].dims == ("time", "prediction_timedelta", "cell")
    assert forecast["geopotential"].shape == (2, 3, 1, *GRID.shape)
    np.testing.assert_allclose(forecast.latitude, GRID.cells[0])
    assert cli.main(["export", "run", "--to", "bundle"]) == 0, capsys.readouterr().err
    exported = load("bundle", "onnx")
    assert [item["name"] for item in exported.inputs[:5]] == [*NAMES, "lsm"]
    parts, model = compose.restore("run")
    window = next(iter(parts.system.data.test_dataloader()))
    state, forcing = window.state[:, 0], window.forcing[:, 0]
    with torch.no_grad():
        ours = model(state, forcing)
    first = forecast["2m_temperature"].values[0, 0]
    theirs = exported(torch.cat([state, forcing], 1).numpy())
    for c, name in enumerate(NAMES):
        np.testing.assert_allclose(theirs[name], ours[:, c], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(first, theirs["t2m"][0], rtol=1e-5)


def test_the_published_size_is_what_composes():
    """72 channels that are known, on 40,320 cells; 16 layers of 768 on a mesh refined 5 times."""
    config = compose.compose(CASE, [])
    channels = Channels.named(config.archive.channels)
    assert len(channels) == 72 and len(channels.of("geopotential")) == 13
    assert Channels.named(compose.compose("weather_era5_1deg/default", []).archive.channels)
    network = config.network
    assert (network.width, network.layers, network.refinement) == (768, 16, 5)
    assert ReducedGaussian(96).shape == (40_320,) and ReducedGaussian(96).exact_degree == 95
    assert config.system.truncation == Harmonics(ReducedGaussian(96)).truncation


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["archive.path=gone.zarr"], "archive.path: expected data at gone.zarr, found nothing"),
        (["static=gone.nc"], "gone.nc"),
    ],
)
def test_data_that_are_not_there_are_one_line(words, said, capsys):
    assert cli.main(["run", CASE, *SMALL, *words, "run_dir=r"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1, error


def test_the_recipe_of_the_readme_brings_an_archive_to_cells(tmp_path, monkeypatch):
    """The code as it stands there, on coarser grids: a wave of degree 1 arrives in its place."""
    monkeypatch.chdir(tmp_path)
    lat, lon = np.radians(equiangular(37).lat), np.radians(equiangular(37).lon)
    wave = np.cos(lat)[:, None] * np.cos(lon)
    fields = np.stack([54e3 + 1e3 * wave, 280 + 10 * wave])[None].repeat(2, 0)
    with ArchiveWriter("era5_1deg.zarr", Channels.named(["z500", "t2m"]), equiangular(37)) as out:
        out.append(946_684_800 + 21_600 * np.arange(2), fields)
    text = (ROOT / "cases/weather_era5_o96/README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("(96)", "(8)")
    exec(code, {})
    archive = open_archive("era5_o96.zarr", ["z500", "t2m"])
    assert archive.grid.kind == "octahedral" and len(archive) == 2
    lat, lon = (np.radians(x) for x in archive.grid.cells)
    there = 280 + 10 * np.cos(lat) * np.cos(lon)
    np.testing.assert_allclose(
        archive.read(1)[1], there, atol=3e-4
    )  # bicubic, h = 5°: 10·3h⁴/128 each way
