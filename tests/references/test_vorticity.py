"""Flow on the torus: exact vortices, order of convergence, energy, pressure, and the sample."""

import math

import numpy as np
import pytest
import xarray

from sciml import catalogue
from sciml.contracts import UserError
from sciml.references import vorticity
from sciml.references.vorticity import Torus, pressure, solve, velocity, vortices

SAMPLE = catalogue.home() / "data/samples/decaying_vortices.nc"


def taylor_green(torus: Torus, nu: float, t: float) -> dict[str, np.ndarray]:
    """u = -cos x sin y e^{-2νt}, v = sin x cos y e^{-2νt}, p = -(cos 2x + cos 2y) e^{-4νt}/4."""
    x, y = np.meshgrid(torus.axis, torus.axis)
    decay = math.exp(-2 * nu * t)
    return {
        "u": -np.cos(x) * np.sin(y) * decay,
        "v": np.sin(x) * np.cos(y) * decay,
        "p": -(np.cos(2 * x) + np.cos(2 * y)) * decay**2 / 4,
    }


def test_taylor_green_vortices():
    torus, nu = Torus(16), 0.1
    x, y = np.meshgrid(torus.axis, torus.axis)
    start = np.fft.rfft2(2 * np.cos(x) * np.cos(y))  # v_x - u_y
    flow = solve(torus, start, nu, np.array([0.0, 1.0]), steps=3)[-1]
    exact = taylor_green(torus, nu, 1.0)
    u, v = (torus.nodes(part) for part in velocity(torus, flow))
    for name, found in (("u", u), ("v", v), ("p", torus.nodes(pressure(torus, flow)))):
        np.testing.assert_allclose(found, exact[name], atol=1e-14)


def test_moving_vortices_converge_with_fourth_order():
    torus, times = Torus(32), np.array([0.0, 1.0])
    ends = {n: solve(torus, vortices(torus), 0.02, times, n)[-1] for n in (20, 40, 320)}
    errors = [np.abs(ends[n] - ends[320]).max() for n in (20, 40)]
    assert 3.7 < math.log2(errors[0] / errors[1]) < 4.3


def energy(torus: Torus, omega: np.ndarray) -> float:
    u, v = (torus.nodes(part) for part in velocity(torus, omega))
    return float(np.mean(u**2 + v**2) / 2)


def test_energy_is_lost_to_viscosity_alone():
    """dE/dt = -ν ⟨ω²⟩, and none at ν = 0."""
    torus, times, nu = Torus(48), np.linspace(0.0, 0.2, 41), 0.02
    flow = solve(torus, vortices(torus), nu, times, steps=2)
    lost = energy(torus, flow[0]) - energy(torus, flow[-1])
    enstrophy = [float(np.mean(torus.nodes(omega) ** 2)) for omega in flow]
    h = times[1] - times[0]
    integral = (
        h
        / 3
        * (enstrophy[0] + enstrophy[-1] + 4 * sum(enstrophy[1:-1:2]) + 2 * sum(enstrophy[2:-1:2]))
    )
    assert lost == pytest.approx(nu * integral, rel=1e-6)
    free = solve(torus, vortices(torus), 0.0, np.array([0.0, 0.2]), steps=80)[-1]
    assert energy(torus, free) == pytest.approx(0.5, rel=1e-7)


def test_the_start_is_the_same_flow_on_every_torus():
    coarse, fine = Torus(16), Torus(32)
    a, b = (torus.nodes(vortices(torus)) for torus in (coarse, fine))
    np.testing.assert_allclose(a, b[::2, ::2], atol=1e-12)


def test_momentum_balance_of_the_pressure():
    """u_t = -(u u_x + v u_y) - p_x + ν Δu, with u_t from a central difference in time."""
    torus, nu, h = Torus(64), 0.02, 1e-3
    before, now, after = solve(torus, vortices(torus), nu, np.array([0.0, h, 2 * h]), steps=4)
    kx, ky, square = torus.modes
    u, v = velocity(torus, now)
    change = velocity(torus, after)[0] - velocity(torus, before)[0]
    slope = torus.nodes(change / (2 * h))
    inertia = torus.nodes(u) * torus.nodes(1j * kx * u) + torus.nodes(v) * torus.nodes(1j * ky * u)
    balance = slope + inertia + torus.nodes(1j * kx * pressure(torus, now) + nu * square * u)
    assert np.abs(balance).max() < 1e-4 * np.abs(slope).max()


def test_the_sample_is_that_of_the_function(tmp_path):
    """The committed file against a solution on the coarsest torus that has its nodes."""
    with xarray.open_dataset(SAMPLE) as file:
        sample = file.load()
    made = xarray.load_dataset(vorticity.make(tmp_path / "flow.nc", refined=1))
    for name in ("u", "v", "p"):
        assert np.abs(made[name] - sample[name]).max() < 2e-4, name
    assert sample.attrs["largest_difference_to_half_the_resolution"] < 1e-7
    assert sample.sizes == {"t": 21, "y": 33, "x": 33}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Torus(7), "an even number of nodes >= 8, got 7"),
        (
            lambda: solve(Torus(8), vortices(Torus(8)), -1.0, np.array([0.0, 1.0]), 1),
            "expected nu >= 0",
        ),
    ],
)
def test_mistakes(build, message):
    with pytest.raises(UserError, match=message):
        build()
