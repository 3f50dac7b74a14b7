"""Shallow water: invariants whose tendencies vanish identically, and balance by quadrature."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from sciml.calculus.sphere import gauss
from sciml.physics import earth
from sciml.physics import shallow_water as equations
from sciml.weather.simulate.shallow_water import ShallowWater
from sciml.weather.simulate.williamson import unstable_jet, unstable_wind

MEAN = 5600 * earth.GRAVITY


@pytest.fixture(scope="module")
def layer():
    return ShallowWater(gauss(32), 21, MEAN, dtype=torch.float64)


def smooth_state(layer, degree=6, seed=0):
    """Waves of l <= 6: all products of two are inside T21, so that the tendencies are exact."""
    draw = torch.randn(1, 3, 22, 22, 2, generator=torch.Generator().manual_seed(seed))
    x = draw.double() * torch.tensor([1e-5, 3e-6, 2e3])[:, None, None, None]
    l, m = torch.arange(22)[:, None], torch.arange(22)[None]
    x = x * ((l <= degree) & (m <= l) & (l > 0))[..., None]
    x[..., 0, 1] = 0
    x[:, 2, 0, 0, 0] = MEAN * (4 * np.pi) ** 0.5
    return x


def invariants(layer, x):
    area = torch.as_tensor(layer.grid.area)
    cosine = torch.cos(torch.deg2rad(torch.tensor(layer.grid.lat)))[:, None]
    Phi, u, v = layer.fields(x).unbind(1)
    eta = layer.harmonics.synthesis(x[:, equations.VORTICITY]) + layer.f
    return {
        "mass": equations.mass(Phi, area),
        "energy": equations.energy(Phi, u, v, area),
        "angular momentum": equations.angular_momentum(Phi, u, cosine, area),
        "enstrophy": equations.enstrophy(eta, Phi, area),
    }


@pytest.mark.parametrize("name", ["mass", "energy", "angular momentum", "enstrophy"])
def test_the_equations_conserve(layer, name):
    """The rate of change by the tendency, beside what its three parts contribute."""
    x = smooth_state(layer)
    rate = layer.nonlinear(x) + equations.gravity_waves(x, layer.harmonics, MEAN)
    parts = [torch.zeros_like(rate) for _ in range(3)]
    for n, part in enumerate(parts):
        part[:, n] = rate[:, n]

    def change(direction):
        return float(torch.func.jvp(lambda y: invariants(layer, y)[name], (x,), (direction,))[1])

    largest = max(abs(change(part)) for part in parts)
    assert abs(change(rate)) < max(1e-10 * largest, 1e-12 * (name == "mass"))


def test_mean_geopotential_is_only_where_the_terms_are_split(layer):
    x = smooth_state(layer)
    whole = [
        equations.nonlinear(x, layer.harmonics, layer.f, mean)
        + equations.gravity_waves(x, layer.harmonics, mean)
        for mean in (MEAN, 1.3 * MEAN)
    ]
    torch.testing.assert_close(*whole, rtol=1e-9, atol=1e-9 * float(whole[0].abs().max()))


def test_balance_is_the_meridional_integral():
    """Φ(φ) = Φ₀ - ∫ a u (f + u tan φ/a) dφ for a zonal flow, equation 3 of Galewsky et al."""
    layer = ShallowWater(gauss(128), 85, 1e4 * earth.GRAVITY, dtype=torch.float64)
    Phi = layer.fields(unstable_jet(layer, bump=0.0))[0, 0, :, 0].numpy()

    def slope(lat):
        u = float(unstable_wind(np.array(lat)))
        f = 2 * earth.OMEGA * np.sin(lat)
        return -earth.RADIUS * u * (f + u * np.tan(lat) / earth.RADIUS)

    lat = np.radians(layer.grid.lat)
    for j in (70, 96, 110, 127):
        integral = quad(slope, lat[20], lat[j], points=[np.pi / 7, np.pi / 4])[0]
        assert Phi[j] - Phi[20] == pytest.approx(integral, abs=1.0)  # of 9e3 m2 s-2
