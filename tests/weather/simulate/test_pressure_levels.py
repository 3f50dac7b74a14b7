"""Interpolation to pressure against profiles whose integral is known."""

import numpy as np
import pytest
import torch
from weather.simulate.airs import air

from sciml.contracts import UserError
from sciml.globe.channels import Channels
from sciml.physics.earth import GAS_CONSTANT
from sciml.weather.simulate.baroclinic import EXPONENT, profile, resting
from sciml.weather.simulate.pressure_levels import PressureLevels, at_level

KNOWN = torch.tensor([-2.5, -1.2, -0.7, -0.35, -0.1], dtype=torch.float64).view(1, 5, 1, 1)
A, B = 290.0, 40.0  # T = A + B x


def column():
    T = A + B * KNOWN
    Phi = -GAS_CONSTANT * (A * KNOWN + B * KNOWN**2 / 2)
    return torch.stack([Phi, T, 10 + 3 * KNOWN, 0 * KNOWN], 1)


@pytest.mark.parametrize("x", [-2.5, -2.0, -0.9, -0.35, -0.11])
def test_temperature_linear_in_ln_p_is_exact(x):
    Phi, T, u, _ = at_level(column(), KNOWN, float(np.exp(x)))[0, :, 0, 0].tolist()
    assert Phi == pytest.approx(-GAS_CONSTANT * (A * x + B * x * x / 2), rel=1e-12)
    assert pytest.approx(A + B * x) == T and u == pytest.approx(10 + 3 * x)


def test_beyond_the_levels():
    """Below, T ~ p^(R Γ/g): Φ falls by R ∫ T dx; above, T stays."""
    low = at_level(column(), KNOWN, 1.0)[0, :, 0, 0].tolist()
    T, Phi = A - 0.1 * B, float(column()[0, 0, -1, 0, 0])
    warm = T * np.exp(0.1 * EXPONENT)
    assert low[1] == pytest.approx(warm) and low[2] == pytest.approx(10 - 0.3)
    assert low[0] == pytest.approx(Phi - GAS_CONSTANT * (warm - T) / EXPONENT)
    high = at_level(column(), KNOWN, float(np.exp(-3)))[0, :, 0, 0].tolist()
    T, Phi = A - 2.5 * B, float(column()[0, 0, 0, 0, 0])
    assert high[1] == pytest.approx(T) and high[0] == pytest.approx(Phi + 0.5 * GAS_CONSTANT * T)


def test_the_resting_atmosphere_has_its_profile():
    """T(σ) = 288 σ^0.19 over 1000 hPa; z within 0.5 % with ten layers."""
    gas = air(16, 10)
    output = PressureLevels(gas, [850, 500, 300])
    fields = output(resting(gas))[0, :, 3, 5].numpy()
    named = dict(zip(output.names, fields, strict=True))
    for level in (850, 500, 300):
        exact = profile(np.array(level / 1000))
        assert named[f"t{level}"] == pytest.approx(exact, abs=0.6)
        height = GAS_CONSTANT * (288 - exact) / EXPONENT
        assert named[f"z{level}"] == pytest.approx(height, rel=5e-3)
        assert named[f"u{level}"] == 0
    assert named["sp"] == pytest.approx(1e5)


def test_names_are_known_quantities():
    channels = Channels.named(PressureLevels(air(16), [850, 250]).names)
    assert channels.variables == (
        "geopotential", "temperature", "u_component_of_wind", "v_component_of_wind",
        "surface_pressure",
    )  # fmt: skip
    assert len(channels.pairs()) == 2


@pytest.mark.parametrize("levels", [[], [0], [85000]])
def test_levels_that_are_none_are_refused(levels):
    with pytest.raises(UserError, match="1 to 1100 hPa"):
        PressureLevels(air(16), levels)
