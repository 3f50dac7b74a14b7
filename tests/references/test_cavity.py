"""The committed cavity sample: published values, conservation, the equations, a second solution."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import xarray
import yaml
from oracles import botella_peyret_1998, ghia_1982
from scipy.interpolate import CubicSpline, RectBivariateSpline

from sciml.contracts import UserError
from sciml.physics import navier_stokes
from sciml.references import cavity, cavity_study
from sciml.references.navier_stokes import Flow

DATA = Path(__file__).parents[2] / "data"
TINY = cavity.Resolution(3, 1.0, 1e-1, degree=2)


@pytest.fixture(scope="module")
def sample() -> xarray.Dataset:
    with xarray.open_dataset(DATA / "samples" / "lid_driven_cavity_re100.nc") as data:
        return data.load().astype("float64")


@pytest.fixture(scope="module")
def coarse() -> Flow:
    return cavity.solve(100, cavity.COARSE)


@pytest.fixture(scope="module")
def tiny() -> Flow:
    return cavity.solve(100, TINY)


def along(field: xarray.DataArray, axis: str) -> CubicSpline:
    return CubicSpline(field[axis], field)


def test_a_coarse_second_solution_agrees(sample: xarray.Dataset, coarse: Flow) -> None:
    gap = cavity.difference(cavity.dataset(coarse), sample)
    assert gap["rel_l2_speed"] < 3e-4  # measured 1.6e-4
    assert gap["max_velocity"] < 2e-3  # measured 1.0e-3, at the lid corners
    assert gap["max_psi"] < 1e-4


def test_extrema_are_those_of_the_spectral_solution(sample: xarray.Dataset) -> None:
    # 7 published digits; the grid's cubic splines resolve about 1e-6
    fine = np.linspace(0, 1, 20001)
    u = along(sample.u.sel(x=0.5), "y")(fine)
    v = along(sample.v.sel(y=0.5), "x")(fine)
    found = {"u_min": u.min(), "v_max": v.max(), "v_min": v.min()}
    places = {"u_min": u.argmin(), "v_max": v.argmax(), "v_min": v.argmin()}
    for name, (value, place) in botella_peyret_1998.EXTREMA[100].items():
        assert abs(found[name] - value) < 2e-6, name
        assert abs(fine[places[name]] - place) < 2e-4, name


def test_u_agrees_with_ghia_but_for_one_point(sample: xarray.Dataset) -> None:
    gap = along(sample.u.sel(x=0.5), "y")(ghia_1982.Y) - ghia_1982.U
    assert np.abs(gap).max() < 0.005
    assert np.sqrt((gap**2).mean()) < 0.0025
    near_floor = np.abs(gap[:5])
    assert near_floor[ghia_1982.NODES_Y[:5] != ghia_1982.SUSPICIOUS_NODE_Y].max() < 1e-4
    assert near_floor.max() > 1e-3


def test_v_agrees_with_ghia_within_that_tables_own_error(sample: xarray.Dataset) -> None:
    # Ghia's |v| is about 3.6 % low all along the line (max |v| = 0.245 against 0.2538 in 1998)
    gap = along(sample.v.sel(y=0.5), "x")(ghia_1982.X) - ghia_1982.V
    assert np.abs(gap).max() < 0.0095
    assert np.sqrt((gap**2).mean()) < 0.005


def test_no_fluid_passes_through_any_section(sample: xarray.Dataset) -> None:
    for name, axis, other in (("u", "y", "x"), ("v", "x", "y")):
        inner = sample[name].sel({other: slice(0.05, 0.95)})
        fluxes = [along(line, axis).integrate(0, 1) for line in inner.transpose(other, axis)]
        assert np.abs(fluxes).max() < 2e-5, name


def test_velocity_is_the_curl_of_the_stream_function(sample: xarray.Dataset) -> None:
    psi = RectBivariateSpline(sample.y, sample.x, sample.psi)
    inner = sample.sel(x=slice(0.1, 0.9), y=slice(0.1, 0.9))
    assert np.abs(psi(inner.y, inner.x, dx=1) - inner.u).max() < 2e-5
    assert np.abs(psi(inner.y, inner.x, dy=1) + inner.v).max() < 2e-5


def derivatives(field: xarray.DataArray) -> dict[str, np.ndarray]:
    """Sixth-order central differences at the nodes three or more away from the walls."""
    h, values = 0.01, field.values
    first = np.array([-1, 9, -45, 0, 45, -9, 1]) / (60 * h)
    second = np.array([2, -27, 270, -490, 270, -27, 2]) / (180 * h**2)

    def apply(stencil: np.ndarray, axis: int) -> np.ndarray:
        moved = np.moveaxis(values, axis, -1)
        n = moved.shape[-1]
        out = sum(c * moved[3:-3, k : n - 6 + k] for k, c in enumerate(stencil))
        return np.moveaxis(out, -1, axis)

    return {
        "x": apply(first, 1),
        "y": apply(first, 0),
        "xx": apply(second, 1),
        "yy": apply(second, 0),
    }


def test_the_equations_of_physics_hold_on_the_sample(sample: xarray.Dataset) -> None:
    # two independent authors of one equation: weak form of the solver, residuals of the PINNs
    u, v, p = (derivatives(sample[name]) for name in "uvp")
    U, V = sample.u.values[3:-3, 3:-3], sample.v.values[3:-3, 3:-3]
    Re = sample.attrs["Re"]
    residuals = {
        "x": navier_stokes.momentum_x(U, V, u["x"], u["y"], p["x"], u["xx"], u["yy"], Re),
        "y": navier_stokes.momentum_y(U, V, v["x"], v["y"], p["y"], v["xx"], v["yy"], Re),
        "continuity": navier_stokes.continuity(u["x"], v["y"]),
    }
    scale = np.abs(U * u["x"]).max()
    lower = slice(0, 50)  # y < 0.53: nearer the lid corners, differences over 0.01 see the mesh
    for name, values in residuals.items():
        assert np.median(np.abs(values)) < 2e-5 * scale, name
        assert np.abs(values[lower]).max() < 1e-3 * scale, name


def test_walls_and_missing_corners(sample: xarray.Dataset) -> None:
    corners = np.zeros(sample.u.shape, dtype=bool)
    corners[-1, [0, -1]] = True
    for name in ("u", "p"):
        assert (np.isnan(sample[name].values) == corners).all()
    assert not np.isnan(sample.v).any()
    assert (sample.u.values[-1, 1:-1] == 1).all()
    assert (sample.u.values[:-1, [0, -1]] == 0).all()
    assert (sample.v.values[[0, -1]] == 0).all() and (sample.v.values[:, [0, -1]] == 0).all()
    assert np.abs(sample.psi.values[[0, -1]]).max() == 0


def test_pressure_has_zero_mean(tiny: Flow) -> None:
    values = np.asarray(tiny.pressure.interpolate(tiny.p))
    assert abs((values * tiny.pressure.dx).sum()) < 1e-12


def test_the_file_describes_itself(sample: xarray.Dataset) -> None:
    assert sample.attrs["Conventions"] == "CF-1.11"
    assert sample.sizes == {"y": 101, "x": 101}
    assert sample.attrs["difference_rel_l2_speed"] < 1e-5
    assert sample.attrs["difference_max_u_centreline"] < 1e-5
    assert all({"units", "long_name"} <= set(sample[n].attrs) for n in ("u", "v", "p", "psi"))


def test_the_file_is_the_registered_one() -> None:
    registry = yaml.safe_load((DATA / "registry.yaml").read_text())
    entry = registry["lid_driven_cavity_re100"]
    assert hashlib.sha256((DATA / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]


def test_make_writes_the_whole_file_and_nothing_else(tmp_path: Path) -> None:
    path = cavity.make(tmp_path / "new" / "cavity.nc", 10, 11, TINY, TINY)
    assert [p.name for p in path.parent.iterdir()] == ["cavity.nc"]
    with xarray.open_dataset(path) as data:
        assert data.attrs["Re"] == 10
        assert data.u.dtype == "float32"
        assert data.attrs["difference_max_velocity"] == 0


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, tiny: Flow) -> None:
    path = tmp_path / "cavity.nc"
    path.write_text("old")
    broken = cavity.dataset(tiny, 5).assign_attrs(impossible={"a": 1})
    with pytest.raises(TypeError):
        cavity.write(broken, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_refuses_a_grid_of_one_point(tiny: Flow) -> None:
    with pytest.raises(UserError, match="at least 2"):
        cavity.dataset(tiny, 1)


@pytest.mark.slow
def test_spectral_solution_at_re_1000() -> None:
    # 15 CPU-s; measured deviations: psi 2.0e-5, velocities 4e-5
    flow = cavity.solve(1000, cavity.Resolution(12, 1.0, 1e-2))
    psi, x, y = cavity_study.vortex(flow)
    expected, at_x, at_y = botella_peyret_1998.VORTEX[1000]
    assert abs(psi - expected) < 5e-5
    assert abs(x - at_x) < 2e-4 and abs(y - at_y) < 2e-4
    for name, (value, _) in cavity_study.extrema(flow).items():
        assert abs(value - botella_peyret_1998.EXTREMA[1000][name][0]) < 1e-4, name
