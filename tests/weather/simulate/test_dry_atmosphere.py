"""The dry atmosphere: rest, balance, waves, conservation, growth, and the published climate."""

import numpy as np
import pytest
import torch
from weather.simulate.airs import air, smooth_state
from weather.simulate.layers import largest

from sciml.contracts import UserError
from sciml.physics import primitive_equations as equations
from sciml.physics.earth import DAY, GAS_CONSTANT, KAPPA, RADIUS
from sciml.weather.simulate.baroclinic import WIDE, random_baroclinic_jets, resting
from sciml.weather.simulate.jets import Jets
from sciml.weather.simulate.time_steps import Past, run
from sciml.weather.simulate.truncation import Dissipation

CALM = Jets(WIDE.speed, WIDE.latitude, WIDE.width, noise=0.0)


def jets(gas, members=1, seed=3, kind=WIDE):
    return random_baroclinic_jets(gas, torch.Generator().manual_seed(seed), members, kind)


def test_rest_stays_at_rest():
    gas = air()
    x = resting(gas)
    assert torch.equal(gas.nonlinear(x) + gas.linear(x), torch.zeros_like(x))
    assert torch.equal(gas.run(x, DAY, 2400.0), x)


def test_solve_is_the_inverse():
    gas = air(dissipation=Dissipation(3600.0))
    x = smooth_state(gas)
    back = gas.solve(x - 900.0 * gas.linear(x), 900.0)
    for n in range(x.shape[1]):
        assert largest(back[:, n] - x[:, n]) < 1e-11 * largest(x[:, n])


def test_balanced_jets_stay():
    """Two days of jets of 40 m/s without noise: what moves is rounding."""
    gas = air(16, 4)
    x = jets(gas, kind=CALM)
    change = equations.on_grid(gas.run(x, 2 * DAY, 2400.0) - x, gas.harmonics)
    assert largest(change.u) < 1e-9 and largest(change.pi) < 1e-11


def test_lamb_wave_has_its_frequency():
    """The external mode of l = 3 on an isothermal atmosphere that does not turn, at a quarter."""
    gas = air(16, 6)
    gas.f = torch.zeros_like(gas.f)
    layers, l = gas.layers, 3
    matrix = KAPPA * gas.mean * layers.hydrostatic @ layers.conversion
    speeds, modes = np.linalg.eig(matrix + GAS_CONSTANT * gas.mean * layers.thickness)
    fastest = speeds.real.argmax()
    mode = torch.tensor(modes[:, fastest].real)
    x = torch.zeros_like(resting(gas))
    x[0, 6:12, l, 2, 0] = 1e-12 * mode  # δ, of which T and π are a quarter behind
    frequency = (l * (l + 1) * speeds.real[fastest]) ** 0.5 / RADIUS
    end = 1.25 * 2 * np.pi / frequency
    late = []
    for steps in (40, 80):
        y = gas.run(x, end, end / steps)
        late.append(float(y[0, 6:12, l, 2, 0] @ mode) / float(mode @ mode) / 1e-12)
    assert abs(late[1]) < 0.04 and late[0] / late[1] == pytest.approx(4, rel=0.15)


def test_nothing_is_lost_without_forcing():
    """Two days of unstable jets: p_s, energy and angular momentum."""
    gas = air()
    area = torch.tensor(gas.grid.area)
    cosine = torch.cos(torch.deg2rad(torch.tensor(gas.grid.lat)))[:, None]
    x = jets(gas)
    before, after = (equations.on_grid(y, gas.harmonics) for y in (x, gas.run(x, 2 * DAY, 2160.0)))

    def drift(invariant):
        return abs(invariant(after) / invariant(before) - 1).item()

    assert drift(lambda g: equations.mass(g.pi, area)) < 1e-8
    assert drift(lambda g: equations.energy(g, gas.layers, gas.mean, area)) < 1e-8
    assert drift(lambda g: equations.angular_momentum(g, gas.layers, cosine, area)) < 1e-6


def test_second_order_in_time():
    gas = air(16, 4, forced=True)
    x = jets(gas)
    fine = gas.run(x, DAY / 8, 90.0)
    errors = [(gas.run(x, DAY / 8, dt) - fine)[:, 8:12].norm().item() for dt in (1080.0, 540.0)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


def test_baroclinic_waves_grow():
    """Waves too small to touch the jets grow by a factor of e in one to three days."""
    gas = air(32, 4, Dissipation())
    past = Past(jets(gas, kind=Jets(WIDE.speed, WIDE.latitude, WIDE.width, noise=1e-10)))
    waves = []
    for days in (4, 3):
        past = run(gas, past, 2700.0, 32 * days)
        waves.append(past.x[:, :5, :, 1:].norm().item())
    rate = np.log(waves[1] / waves[0]) / 3
    assert 0.3 < rate < 1.0


def test_a_member_does_not_depend_on_its_neighbours():
    gas = air(16, 4, forced=True)
    three, other = jets(gas, 3, seed=1), jets(gas, 3, seed=2)
    other[1] = three[1]
    together = gas.run(three, DAY / 4, 2400.0)[1]
    assert torch.equal(together, gas.run(other, DAY / 4, 2400.0)[1])


def test_friction_stops_the_wind_near_the_surface():
    """ζ of the lowest of five layers decays as exp(-k_v t), that of a free one stays."""
    gas = air(16, 5, forced=True)
    gas._cooling.zero_()
    gas.f = torch.zeros_like(gas.f)
    x = resting(gas)
    x[:, [1, 4], 3, 0, 0] = 1e-12
    late = gas.run(x, DAY / 2, 1800.0)[0, [1, 4], 3, 0, 0] / 1e-12
    share = (gas.layers.sigma[4] - 0.7) / 0.3  # of k_f = 1/day
    torch.testing.assert_close(
        late, torch.tensor([1.0, np.exp(-share / 2)]).double(), rtol=1e-3, atol=0
    )


def test_too_few_layers_are_refused():
    with pytest.raises(UserError, match="2 layers or more, got 1"):
        air(layers=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_climate_of_held_and_suarez():
    """Days 80 to 200 of two members at T21 with 8 layers, zonal means, beside the published ones.

    Figures 1 and 2 of the paper (T63, 20 levels): a jet of about 30 m/s near 45° and 250 hPa on
    either side, westerlies of 8 m/s and easterlies in the tropics at the surface, 300 to 310 K
    at the equator's surface and 260 K at the poles', a transient heat flux of 15 to 20 K m/s.
    """
    gas = air(32, 8, Dissipation(), torch.float32, forced=True)
    past = Past(jets(gas, 2))
    past = run(gas, past, 2400.0, 36 * 80)
    u, T, flux, days = 0.0, 0.0, 0.0, 120
    for _ in range(days):
        past = run(gas, past, 2400.0, 36)
        g = equations.on_grid(past.x, gas.harmonics)
        waves = [field - field.mean(-1, keepdim=True) for field in (g.v, g.temperature)]
        u = u + g.u.mean((0, 3)) / days
        T = T + (gas.mean + g.temperature).mean((0, 3)) / days
        flux = flux + (waves[0] * waves[1]).mean((0, 3)) / days
    lat = torch.tensor(gas.grid.lat)
    upper, lowest = 2, 7  # σ = 0.31 and 0.94
    for side in (lat < 0, lat > 0):
        at = abs(lat[side][u[upper, side].argmax()])
        assert 25 < u[upper, side].max() < 36 and 35 < at < 50
        assert 4 < u[lowest, side].max() < 13
        assert 10 < flux[:, side].abs().max() < 22
    assert u[lowest, lat.abs() < 20].mean() < -2
    assert 298 < T[lowest, lat.abs() < 5].mean() < 310
    assert 255 < T[lowest, lat.abs() > 80].mean() < 272
    assert 195 < T[1, lat.abs() < 20].mean() < 215  # σ = 0.18, the tropopause
