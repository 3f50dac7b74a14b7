"""The shallow-water layer against exact solutions, conservation and its own refinement."""

import numpy as np
import pytest
import torch
from weather.simulate.layers import largest, layer

from sciml.calculus.sphere import gauss
from sciml.contracts import UserError
from sciml.physics import earth
from sciml.physics import shallow_water as equations
from sciml.physics.earth import DAY
from sciml.weather.simulate import williamson
from sciml.weather.simulate.jets import random_jets
from sciml.weather.simulate.shallow_water import ShallowWater
from sciml.weather.simulate.truncation import Dissipation


def jets(water, members=1, seed=3):
    return random_jets(water, torch.Generator().manual_seed(seed), members)


def resting(water):
    size = water.harmonics.truncation + 1
    x = torch.zeros(1, 3, size, size, 2, dtype=torch.float64)
    x[:, 2, 0, 0] = equations.constant(water.mean, x)
    return x


def test_steady_zonal_flow_stays():
    """Five days of Williamson's case 2: 1e-9 of the ranges of Φ (2e4) and u (39), rounding."""
    water = layer(depth=williamson.STEADY_PHI / earth.GRAVITY)
    x = williamson.steady(water)
    change = water.fields(water.run(x, 5 * DAY, 1800.0)) - water.fields(x)
    assert largest(change[:, 0]) < 2e-5 and largest(change[:, 1:]) < 4e-8


def test_balanced_jet_stays():
    """Two days, before the jet's instability has made anything of the rounding."""
    water = layer(depth=1e4)
    x = williamson.unstable_jet(water, bump=0.0)
    change = water.fields(water.run(x, 2 * DAY, 1200.0)) - water.fields(x)
    assert largest(change[:, 0]) < 1e-4 and largest(change[:, 1:]) < 1e-6


@pytest.mark.parametrize("l", [2, 7])
def test_gravity_waves_have_their_frequency(l):
    """A standing wave of Φ on a fluid at rest that does not turn: cos ωt, ω² = l(l+1) Φ̄/a²."""
    water = layer(16)
    water.f = torch.zeros_like(water.f)
    x = resting(water)
    x[0, 2, l, 1, 0] += 1e-3
    frequency = (l * (l + 1) * water.mean) ** 0.5 / earth.RADIUS
    end = 1.25 * 2 * np.pi / frequency  # Φ' = 0: what is left is the error of the phase
    late = [water.run(x, end, end / n)[0, 2, l, 1, 0].item() / 1e-3 for n in (60, 120)]
    assert abs(late[1]) < 0.02  # radians, after 7.9
    assert late[0] / late[1] == pytest.approx(4, rel=0.1)


def test_rossby_haurwitz_wave_turns_at_its_speed():
    """In the limit of a deep fluid the speed is that of a fluid without divergence: O(1/Φ̄)."""
    speeds = []
    for depth in (8e5, 1.6e6):
        water = layer(depth=depth)
        x = williamson.rossby_haurwitz(water)
        y = water.run(x, DAY, 1200.0)
        wave = [torch.view_as_complex(z)[0, 0, 5, 4] for z in (x, y)]
        speeds.append(-torch.angle(wave[1] / wave[0]).item() / 4 / DAY)
    theory = williamson.rossby_haurwitz_speed(7.848e-6, 4)
    assert np.degrees(theory) * DAY == pytest.approx(12.19, abs=0.01)  # eastward, degrees a day
    shallow, deep = (abs(speed / theory - 1) for speed in speeds)
    assert deep < 0.005 and shallow / deep == pytest.approx(2, rel=0.2)


def test_mass_is_exact_and_energy_and_angular_momentum_drift_little():
    """Three days of random jets without dissipation."""
    water = layer()
    area = torch.as_tensor(water.grid.area)
    cosine = torch.cos(torch.deg2rad(torch.tensor(water.grid.lat)))[:, None]
    x = jets(water)
    before, after = (water.fields(y).unbind(1) for y in (x, water.run(x, 3 * DAY, 1440.0)))

    def drift(invariant):
        return abs(invariant(*after) / invariant(*before) - 1).item()

    assert drift(lambda Phi, u, v: equations.mass(Phi, area)) < 1e-13
    assert drift(lambda Phi, u, v: equations.energy(Phi, u, v, area)) < 3e-6
    assert drift(lambda Phi, u, v: equations.angular_momentum(Phi, u, cosine, area)) < 1e-6


def test_second_order_in_time():
    water = layer(16)
    x = jets(water)
    fine = water.run(x, DAY / 8, 100.0)
    errors = [(water.run(x, DAY / 8, dt) - fine)[:, 0].norm().item() for dt in (1200.0, 600.0)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


def test_hyperdiffusion_damps_at_the_rate_it_says():
    """On a fluid at rest that does not turn, ζ of degree l decays as exp(-D_l t)."""
    water = ShallowWater(gauss(32), dtype=torch.float64)
    water.f = torch.zeros_like(water.f)
    zeta = torch.zeros(1, 22, 22, 2, dtype=torch.float64)
    zeta[0, 21, 3, 0] = zeta[0, 10, 3, 0] = 1e-12
    x = resting(water)
    x[:, 0] = zeta
    late = water.run(x, 6 * 3600.0, 400.0)[0, 0, [21, 10], 3, 0] / 1e-12
    slow = (10 * 11 / (21 * 22)) ** 4
    torch.testing.assert_close(late, torch.tensor([-1.0, -slow]).double().exp(), rtol=1e-3, atol=0)


def test_a_member_does_not_depend_on_its_neighbours():
    water = layer()
    three, other = jets(water, 3, seed=1), jets(water, 3, seed=2)
    other[1] = three[1]
    together = water.run(three, DAY / 4, 1200.0)[1]
    assert torch.equal(together, water.run(other, DAY / 4, 1200.0)[1])
    alone = water.run(three[1:2], DAY / 4, 1200.0)[0]
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9 * largest(alone[0]))


def test_truncations_that_alias_are_refused():
    with pytest.raises(UserError, match="truncation of 1 to 21"):
        ShallowWater(gauss(32), 31)


def test_random_jets_are_balanced_and_repeatable():
    water = layer()
    x = jets(water, 2)
    assert torch.equal(x, jets(water, 2)) and not torch.equal(x, jets(water, 2, seed=4))
    rate = water.nonlinear(x) + equations.gravity_waves(x, water.harmonics, water.mean)
    scale = largest(water.harmonics.laplacian(x[:, 2]))
    assert largest(rate[:, 1]) < 1e-10 * scale
    Phi, u, _ = water.fields(x).unbind(1)
    torch.testing.assert_close(
        equations.mass(Phi, torch.as_tensor(water.grid.area)), torch.full((2,), water.mean).double()
    )
    assert 35 < u.mean(-1).amax() < 80


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_unstable_jet_rolls_up_alike_at_every_resolution():
    """Day 6 of Galewsky et al. with their ν = 1e5 m² s⁻¹ ∇²: waves of ζ up to l = 42."""
    nu, seen = 1e5, {}
    for n_lat, dt in ((64, 900.0), (96, 600.0), (128, 400.0)):
        T = (2 * n_lat - 1) // 3
        time = earth.RADIUS**2 / (nu * T * (T + 1))
        water = layer(n_lat, 1e4, Dissipation(time, order=1))
        x = water.run(williamson.unstable_jet(water), 6 * DAY, dt)
        seen[T] = x[0, 0, :43, 1:43]
    errors = {T: ((seen[T] - seen[85]).norm() / seen[85].norm()).item() for T in (42, 63)}
    assert errors[63] < 0.4 * errors[42] and errors[63] < 0.12
