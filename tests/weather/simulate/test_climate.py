"""Heating and drag: their rates, what they leave alone, and the climate that they make."""

import numpy as np
import pytest
import torch
from weather.simulate.layers import layer

from sciml.weather.simulate.climate import Driven, driven_layer
from sciml.weather.simulate.jets import jet_pair, random_jets
from sciml.weather.simulate.time_steps import Past, run
from sciml.weather.simulate.truncation import Dissipation


@pytest.mark.parametrize(("m", "time"), [(0, 2.0), (2, 10.0)])
def test_waves_and_jets_relax_at_their_own_rates(m, time):
    """On a fluid at rest a small wave is exp(-t/τ) of what it would be."""
    water = layer(16)
    rest = jet_pair(water, 0.0, 45.0, 5.0)
    x = rest.clone()
    x[:, 0, 3, m, 0], x[:, 2, 4, m, 0] = 1e-10, 1e-3
    free, forced = (
        run(system, Past(x), 1200.0, 72).x - rest for system in (water, Driven(water, rest))
    )
    for part in (0, 2):
        ratio = forced[:, part].norm() / free[:, part].norm()
        assert ratio == pytest.approx(np.exp(-1 / time), rel=0.02)


def test_the_equilibrium_stays():
    water = layer()
    system = driven_layer(water)
    x = run(system, Past(system.equilibrium), 900.0, 96).x
    change = water.fields(x) - water.fields(system.equilibrium)
    assert change[:, 1:].abs().max() < 1e-6


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_weather_goes_on_and_is_chaotic():
    """Day 30 to 80 at T31: variability that does not die, twins that part by more than tenfold."""
    water = layer(48, dissipation=Dissipation())
    system, area = driven_layer(water), torch.tensor(water.grid.area)
    past = run(system, Past(random_jets(water, torch.Generator().manual_seed(0), 1)), 1440.0, 1800)
    twin = past.x * (1 + 1e-6 * torch.randn(past.x.shape, generator=torch.Generator()))
    past = Past(torch.cat([past.x, twin]))
    spread, apart = [], []
    for _ in range(5):
        past = run(system, past, 1440.0, 600)
        v = water.fields(past.x)[:, 2]
        spread.append((v[0] ** 2 * area).sum().sqrt().item())
        apart.append(((v[1] - v[0]) ** 2 * area).sum().sqrt().item())
    assert min(spread) > 5 and max(spread) < 20
    assert apart[-1] > 10 * apart[0]
