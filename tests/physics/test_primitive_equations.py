"""Primitive equations: invariants that hold in the layers identically, waves of closed form."""

import numpy as np
import pytest
import torch
from weather.simulate.airs import air, smooth_state

from sciml.physics import primitive_equations as equations
from sciml.physics.earth import GAS_CONSTANT, KAPPA
from sciml.physics.primitive_equations import Layers, equal_layers

UNEVEN = Layers(np.array([0.0, 0.1, 0.35, 0.6, 0.85, 1.0]))


@pytest.fixture(scope="module")
def gas():
    found = air()
    found.layers = UNEVEN
    return found


def tendency(gas, x, mean=300.0):
    return equations.nonlinear(x, gas.harmonics, gas.layers, gas.f, mean) + equations.gravity_waves(
        x, gas.harmonics, gas.layers, mean
    )


def invariants(gas, x):
    area = torch.tensor(gas.grid.area)
    cosine = torch.cos(torch.deg2rad(torch.tensor(gas.grid.lat)))[:, None]
    g = equations.on_grid(x, gas.harmonics)
    return {
        "mass": equations.mass(g.pi, area),
        "energy": equations.energy(g, gas.layers, 300.0, area),
        "angular momentum": equations.angular_momentum(g, gas.layers, cosine, area),
    }


@pytest.mark.parametrize("name", ["mass", "energy", "angular momentum"])
def test_the_layers_conserve(gas, name):
    """The rate of change by the tendency, beside what its parts ζ, δ, T and π contribute."""
    x = smooth_state(gas)
    rate, count = tendency(gas, x), gas.layers.count
    scale = {"mass": 1e-6, "energy": 0.0, "angular momentum": 0.0}[name]
    parts = []
    for n in range(4):
        part = torch.zeros_like(rate)
        part[:, n * count : (n + 1) * count] = rate[:, n * count : (n + 1) * count]
        parts.append(part)

    def change(direction):
        return float(torch.func.jvp(lambda y: invariants(gas, y)[name], (x,), (direction,))[1])

    largest = max([scale, *(abs(change(part)) for part in parts)])
    assert abs(change(rate)) < 1e-12 * largest


def test_mean_temperature_is_only_where_the_terms_are_split(gas):
    x = smooth_state(gas)
    count = gas.layers.count
    warmer = x.clone()
    warmer[:, 2 * count : -1, 0, 0, 0] -= 20 * (4 * np.pi) ** 0.5
    one, other = tendency(gas, x, 300.0), tendency(gas, warmer, 320.0)
    for first, last in ((0, count), (count, 2 * count), (2 * count, 3 * count + 1)):
        size = float(one[:, first:last].abs().max())
        torch.testing.assert_close(
            one[:, first:last], other[:, first:last], rtol=0, atol=1e-10 * size
        )


def test_the_nonlinear_part_has_no_gravity_waves(gas):
    """Without rotation, N of a small state is of second order."""
    x = smooth_state(gas)
    sizes = []
    for small in (1e-3, 1e-4):
        N = equations.nonlinear(
            small * x, gas.harmonics, gas.layers, torch.zeros_like(gas.f), 300.0
        )
        sizes.append(float(N.abs().max()))
    assert sizes[0] / sizes[1] == pytest.approx(100, rel=0.01)


def test_an_isothermal_column_is_hydrostatic_without_error():
    """Φ = -R T ln σ at the levels where T stands."""
    T = np.full(5, 250.0)
    Phi = UNEVEN.hydrostatic @ T
    np.testing.assert_allclose(Phi, -GAS_CONSTANT * 250 * np.log(UNEVEN.sigma), rtol=1e-12)


def test_layers_converge_to_the_hydrostatic_integral():
    """T = 300 σ^0.19: Φ = R 300 (1 - σ^0.19)/0.19, in the lower half to second order."""
    errors = []
    for count in (10, 20, 40):
        layers = equal_layers(count)
        low = layers.sigma > 0.5
        exact = GAS_CONSTANT * 300 * (1 - layers.sigma**0.19) / 0.19
        errors.append(abs(layers.hydrostatic @ (300 * layers.sigma**0.19) - exact)[low].max())
    assert np.log2(errors[0] / errors[1]) > 1.6 and np.log2(errors[1] / errors[2]) > 1.6


def test_the_fastest_wave_is_lambs():
    """On an isothermal atmosphere c² = R T/(1 - κ).

    Its wind goes as σ^-κ: layers of depth Δ miss a share Δ^(1 - 2κ) of the energy, near the top.
    """
    errors = []
    for count in (20, 40):
        layers = equal_layers(count)
        matrix = KAPPA * 300 * layers.hydrostatic @ layers.conversion
        matrix = matrix + GAS_CONSTANT * 300 * layers.thickness
        fastest = np.linalg.eigvals(matrix).real.max()
        errors.append(abs(fastest / (GAS_CONSTANT * 300 / (1 - KAPPA)) - 1))
    assert errors[0] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2 ** (1 - 2 * KAPPA), rel=0.05)


def test_no_air_crosses_top_or_surface():
    """σ̇ of D = 1 in every layer is zero everywhere: nothing is displaced."""
    np.testing.assert_allclose(UNEVEN.descent @ np.ones(5), 0, atol=1e-15)
