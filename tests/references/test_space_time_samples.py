"""The committed u(x, t): equations of physics, symmetry, energy, another method, checksum."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import xarray
import yaml
from scipy.integrate import solve_ivp

from sciml.physics import allen_cahn as allen_cahn_physics
from sciml.physics import kuramoto_sivashinsky as kuramoto_sivashinsky_physics
from sciml.references import allen_cahn, kuramoto_sivashinsky, spectral

DATA = Path(__file__).parents[2] / "data"
NAMES = ("allen_cahn", "kuramoto_sivashinsky")


def sample(name: str) -> xarray.Dataset:
    return xarray.load_dataset(DATA / "samples" / f"{name}.nc")


@pytest.mark.parametrize("name", NAMES)
def test_grid_period_and_description(name: str) -> None:
    data = sample(name)
    assert data.sizes == {"t": 101, "x": 257}
    assert data.u.dtype == "float64"
    assert data.x[0] == -1 and data.x[-1] == 1 and data.t[0] == 0 and data.t[-1] == 1
    assert (data.u[:, 0] == data.u[:, -1]).all()
    assert data.attrs["difference_rel_l2"] < 1e-10
    assert data.attrs["difference_max"] < 1e-9
    assert {"units", "long_name"} <= set(data.u.attrs)


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_the_registered_one(name: str) -> None:
    entry = yaml.safe_load((DATA / "registry.yaml").read_text())[name]
    content = (DATA / entry["file"]).read_bytes()
    assert len(content) == entry["bytes"]
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_symmetry_and_start() -> None:
    data = {name: sample(name) for name in NAMES}
    x = data["allen_cahn"].x.values
    even, odd = (data[name].u.values for name in NAMES)
    assert np.abs(even - even[:, ::-1]).max() < 1e-13
    assert np.abs(odd + odd[:, ::-1]).max() < 1e-11  # unstable waves have amplified rounding
    assert np.abs(even[0] - x**2 * np.cos(np.pi * x)).max() < 1e-15
    assert np.abs(odd[0] + np.sin(np.pi * x)).max() < 1e-15


def x_derivative(u: np.ndarray, order: int) -> np.ndarray:
    """Along the last axis, by the Fourier series of all nodes but the last, the first's image."""
    n = u.shape[1] - 1
    k = np.pi * np.arange(n // 2 + 1)
    return spectral.values((1j * k) ** order * spectral.coefficients(u[:, :-1]), n)


def t_derivative(u: np.ndarray, h: float) -> np.ndarray:
    """Eighth-order central differences at all but the four outermost times on either side."""
    c = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    n = len(u)
    return sum(w * (u[4 + j : n - 4 + j] - u[4 - j : n - 4 - j]) for j, w in c.items()) / h


def test_the_equation_of_physics_holds_on_allen_cahn() -> None:
    fine = allen_cahn.solution(1024, 10, x=1025, t=401)[2]
    assert np.abs(fine[40::4, ::4] - sample("allen_cahn").u.values[10:]).max() < 1e-8
    u, rate = fine[44:-4, :-1], t_derivative(fine[40:], 1 / 400)[:, :-1]
    left = allen_cahn_physics.residual(u, rate, x_derivative(fine, 2)[44:-4], 1e-4, 5.0)
    assert np.abs(left).max() < 1e-6 * np.abs(rate).max()


def test_the_equation_of_physics_holds_on_kuramoto_sivashinsky() -> None:
    fine = kuramoto_sivashinsky.solution(64, 20, x=257, t=401)[2]
    assert np.abs(fine[::4] - sample("kuramoto_sivashinsky").u.values).max() < 3e-8
    d = [x_derivative(fine, order)[4:-4] for order in (0, 1, 2, 4)]
    rate = t_derivative(fine, 1 / 400)[:, :-1]
    left = kuramoto_sivashinsky_physics.residual(d[0], rate, *d[1:], 5.0, 0.5, 0.005)
    assert np.abs(left).max() < 1e-5 * np.abs(rate).max()


def test_allen_cahn_loses_energy_at_the_rate_of_its_change() -> None:
    # E = ∫ D u_x²/2 + 5 (1 - u²)²/4 dx, dE/dt = -∫ u_t² dx < 0
    u = sample("allen_cahn").u.values[10:]
    slope = x_derivative(u, 1)
    values = u[:, :-1]
    energy = (1e-4 * slope**2 / 2 + 5 * (1 - values**2) ** 2 / 4).mean(axis=1) * 2
    loss = t_derivative(energy[:, None], 0.01)[:, 0]
    change = (t_derivative(values, 0.01) ** 2).mean(axis=1) * 2
    assert (np.diff(energy) < 0).all()
    assert (
        np.abs(loss + change).max() < 3e-4 * change.max()
    )  # measured 1.1e-4: a wall is some nodes wide


def test_allen_cahn_by_finite_differences() -> None:
    # even about 0 and 1: half the period, cells, no flux through the ends; second order in 1/n
    gaps = []
    truth = sample("allen_cahn").u.values[:, 128:]  # x = 0 … 1
    for n in (500, 1000):
        x = (np.arange(n) + 0.5) / n

        def rate(_: float, u: np.ndarray) -> np.ndarray:
            flux = np.diff(u, prepend=u[:1], append=u[-1:])
            return 1e-4 * np.diff(flux) * len(u) ** 2 + 5 * u - 5 * u**3

        start = x**2 * np.cos(np.pi * x)
        u = solve_ivp(rate, (0, 0.5), start, method="RK23", rtol=1e-7, atol=1e-9).y[:, -1]
        inner = np.linspace(0, 1, 129)[8:-8]
        gaps.append(np.abs(np.interp(inner, x, u) - truth[50, 8:-8]).max())
    assert gaps[1] < 1e-4
    assert gaps[0] / gaps[1] > 3


def test_the_start_of_allen_cahn_in_closed_form() -> None:
    n = 4096
    x = allen_cahn.equation().nodes(n)
    gap = np.abs(spectral.values(allen_cahn.start(n), n) - x**2 * np.cos(np.pi * x))
    assert gap[np.abs(x) < 0.5].max() < 1e-9
    assert 0 < gap.max() < 8.1 / (np.pi**2 * n)  # what is left out of 4 Σ 1/(πk)²: the rounded kink


@pytest.mark.parametrize(("module", "nodes"), [(allen_cahn, 512), (kuramoto_sivashinsky, 64)])
def test_make_writes_the_whole_file_and_nothing_else(module, nodes: int, tmp_path: Path) -> None:
    path = module.make(tmp_path / "new" / "u.nc", nodes=nodes, steps=200, x=17, t=3)
    assert [p.name for p in path.parent.iterdir()] == ["u.nc"]
    with xarray.open_dataset(path) as data:
        assert data.u.shape == (3, 17)
        assert 0 < data.attrs["difference_rel_l2"] < 1e-2
