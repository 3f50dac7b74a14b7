"""Scores of a store of ensembles, by closed forms in NumPy and through the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from sciml import cli
from sciml.calculus.sphere import gauss
from sciml.globe.channels import Channels
from sciml.globe.metrics.definitions import cell_areas
from sciml.globe.writer import ArchiveWriter, ForecastWriter

GRID, STEP, MEMBERS = gauss(12), 21600, 5
CHANNELS = Channels.named(["z500", "u500"])
AREA = cell_areas(GRID.lat, GRID.shape[1])
STARTS = (0, 2, 3)


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """Truth at 8 times; ensembles from three of them, two steps long."""
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 10, (8, 2, *GRID.shape)).astype(np.float32)
    truth[:, 0] += 54000
    times = STEP * np.arange(8)
    with ArchiveWriter(folder / "truth.zarr", CHANNELS, GRID) as out:
        out.append(times, truth)
    true = np.stack([truth[s + 1 : s + 3] for s in STARTS])[:, None]
    made = rng.normal(1, 3, (3, MEMBERS, 2, 2, *GRID.shape)).astype(np.float32) + true
    leads, starts = STEP * np.array([1, 2]), times[list(STARTS)]
    with ForecastWriter(folder / "f.zarr", CHANNELS, GRID, starts, leads, members=MEMBERS) as store:
        for n, start in enumerate(starts):
            store.put(int(start), made[n].swapaxes(0, 1), range(MEMBERS))
    return folder, made.astype(np.float64), truth.astype(np.float64)


def by_definition(made: np.ndarray, truth: np.ndarray, lead: int) -> dict[str, np.ndarray]:
    """`[C]` each, from `[start, member, lead, C, lat, lon]`."""
    members = made[:, :, lead]
    true = np.stack([truth[s + 1 + lead] for s in STARTS])
    pairs = abs(members[:, :, None] - members[:, None]).sum((1, 2)) / (MEMBERS * (MEMBERS - 1))
    crps = abs(members - true[:, None]).mean(1) - pairs / 2
    squared = (members.mean(1) - true) ** 2
    variance = members.var(1, ddof=1)
    anomaly, true_anomaly = (x - truth.mean(0) for x in (members.mean(1), true))

    def mean(x: np.ndarray) -> np.ndarray:
        return (x * AREA).sum((-2, -1))

    acc = mean(anomaly * true_anomaly) / np.sqrt(mean(anomaly**2) * mean(true_anomaly**2))
    rmse, spread = np.sqrt(mean(squared).mean(0)), np.sqrt(mean(variance).mean(0))
    return {
        "crps": mean(crps).mean(0),
        "rmse": rmse,
        "spread": spread,
        "spread_over_error": np.sqrt((MEMBERS + 1) / MEMBERS) * spread / rmse,
        "acc": acc.mean(0),
    }


def test_scores_are_what_they_say(stores, tmp_path, capsys) -> None:
    folder, made, truth = stores
    words = ["score", str(folder / "f.zarr"), str(folder / "truth.zarr"), "--to", str(tmp_path)]
    assert cli.main(words) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "scores.json").read_text())
    for lead, hours in enumerate((6, 12)):
        for kind, values in by_definition(made, truth, lead).items():
            for name, value, rtol in zip(CHANNELS.names, values, (2e-4, 2e-6), strict=True):
                got = found[f"{kind}/{name}/{hours}h"]  # float32 of 54000 has steps of 0.004
                assert got == pytest.approx(value, rel=rtol), f"{kind}/{name}/{hours}h"
    assert found["starts"] == 3 and found["members"] == MEMBERS
    said = capsys.readouterr().out
    assert "3 forecasts of 5 members" in said
    for kind in ("crps/z500", "spread/u500", "spread_over_error/z500", "acc/u500"):
        assert kind in said
    assert (tmp_path / "figures/ensemble.png").stat().st_size > 1000


def test_power_is_that_of_members_and_not_of_their_mean(stores, tmp_path) -> None:
    """Independent errors of variance 9 on a truth of 100: (100 + 9) / 100 at every degree."""
    folder, *_ = stores
    words = ["score", str(folder / "f.zarr"), str(folder / "truth.zarr"), "--to", str(tmp_path)]
    assert cli.main(words) == 0
    found = json.loads((tmp_path / "scores.json").read_text())
    ratios = [found[f"power_ratio/u500/l{l}/12h"] for l in range(3, 11)]
    assert np.mean(ratios) == pytest.approx(1.09, abs=0.03)


def test_one_member_and_realizations_are_read_too(stores, tmp_path, capsys) -> None:
    folder, made, truth = stores
    data = xarray.open_zarr(folder / "f.zarr").rename({"number": "realization"})
    data.isel(realization=[1]).to_netcdf(tmp_path / "one.nc")
    data.drop_vars("realization").to_netcdf(tmp_path / "all.nc")
    for name in ("one", "all"):
        words = [str(tmp_path / f"{name}.nc"), str(folder / "truth.zarr")]
        assert cli.main(["score", *words, "--to", str(tmp_path / name)]) == 0
    one = json.loads((tmp_path / "one/scores.json").read_text())
    whole = json.loads((tmp_path / "all/scores.json").read_text())
    assert whole["members"] == MEMBERS and not any(name.startswith("crps") for name in one)
    true = np.stack([truth[s + 1] for s in STARTS])
    squared = ((made[:, 1, 0] - true) ** 2 * AREA).sum((-2, -1)).mean(0)
    np.testing.assert_allclose(one["rmse/u500/6h"], np.sqrt(squared[1]), rtol=1e-5)
