"""The filter network: what each switch promises, symmetry, units, gradients."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import Harmonics, LatLon, gauss
from sciml.contracts import Placed, UserError
from sciml.weather.filter_network import FilterNetwork
from sciml.weather.inputs import carriers
from sciml.weather.resolved import PACE
from tests.weather import planets

GRID = gauss(16)
HARMONICS = Harmonics(GRID, 10, planets.RADIUS)
CHANNELS = planets.SHALLOW_WATER


def network(channels=CHANNELS, grid=GRID, harmonics=HARMONICS, seed=0, **settings):
    """A small one whose last layer is not zero, as it is before training."""
    torch.manual_seed(seed)
    settings = {"width": 12, "layers": 2, "refinement": 1} | settings
    net = FilterNetwork(grid, channels, planets.statistics(channels, grid), harmonics, **settings)
    torch.nn.init.normal_(net.finish[1][-1].weight, std=0.3)
    return net.eval()


def states(batch: int = 2, channels: int = 3, seed: int = 0) -> torch.Tensor:
    fields = planets.waves(HARMONICS, batch, channels, seed)
    return cut(fields[:, :3]) if channels == 3 else fields


def cut(state: torch.Tensor) -> torch.Tensor:
    """To the resolved space."""
    resolved = network().resolved
    return resolved.synthesis(resolved.analysis(state))


def test_an_untrained_network_is_persistence() -> None:
    net = FilterNetwork(GRID, CHANNELS, planets.statistics(CHANNELS, GRID), HARMONICS).eval()
    state = states()
    torch.testing.assert_close(net(state), state, rtol=1e-4, atol=1e-4)


def test_mass_stays_where_it_is_asked_to() -> None:
    area = torch.from_numpy(GRID.area).float()
    state = states()
    for conserved in ((), ("phi",)):
        mean = ((network(conserved=conserved)(state) - state) * area).sum((-1, -2))
        assert (mean[:, 0].abs().max() < 1e-5) == bool(conserved)
        assert mean[:, 1].abs().max() > 1e-3


def test_forecasts_stay_in_the_resolved_space() -> None:
    state = states()
    for resolved in (True, False):
        after = network(resolved=resolved)(state)
        left = (after - cut(after)).abs().amax((-1, -2))
        assert (left.max() < 1e-4) == resolved
        scalar = (after[:, 0] - HARMONICS.project(after[:, 0])).abs().max()
        assert (scalar < 1e-4) == resolved


@pytest.mark.parametrize(
    ("switch", "gone"), [({"advected": False}, "carried"), ({"harmonics": None}, "vorticity")]
)
def test_inputs_can_be_left_out(switch: dict, gone: str) -> None:
    names = network(**switch).inputs.names
    assert not any(gone in name for name in names)
    assert any(gone in name for name in network().inputs.names)
    assert network(**switch)(states()).isfinite().all()


def test_turning_the_planet_by_a_third_turns_the_forecast() -> None:
    """The mesh has that symmetry, and the network sees no longitude."""
    grid = LatLon(gauss(12).lat, np.arange(24) * 15 + 4.0)  # no cell between two nodes
    harmonics = Harmonics(grid, 7, planets.RADIUS)
    net = network(grid=grid, harmonics=harmonics)
    state = planets.waves(harmonics, 2, 3)
    turned = net(state.roll(8, -1))
    torch.testing.assert_close(turned, net(state).roll(8, -1), rtol=1e-3, atol=1e-3)
    assert (net(state) - state).abs().max() > 0.1


def test_gains_act_on_the_change_by_quantity_and_degree() -> None:
    """A gain of zero for one quantity from a degree on leaves those waves as they were."""
    net, state = network(), states()
    resolved = net.resolved
    plain = resolved.analysis(net(state)) - resolved.analysis(state)
    for quantity in range(3):  # φ, ζ, δ
        resolved.gains.data.zero_()
        resolved.gains.data[quantity, 4:] = -1 / PACE
        change = resolved.analysis(net(state)) - resolved.analysis(state)
        size = plain[:, quantity].abs().max()
        assert change[:, quantity, 4:].abs().max() < 1e-3 * size
        change[:, quantity, 4:] = plain[:, quantity, 4:]
        error = (change - plain).abs().amax((0, 2, 3, 4)) / plain.abs().amax((0, 2, 3, 4))
        assert error.max() < 1e-3
    assert network(gains=False).resolved.gains is None


def test_units_are_measured_once() -> None:
    net, state = network(), states()
    assert isinstance(net, Placed)
    shares = [SimpleNamespace(state=state[:1, None], counts=2 / len(state))]
    shares += [SimpleNamespace(state=state[1:, None], counts=2 - 2 / len(state))]
    net.place(net, None, shares, lambda x: x)
    size = net.inputs(state).square().mean((0, 2, 3)).sqrt()
    torch.testing.assert_close(size, torch.ones_like(size), rtol=1e-3, atol=0)
    units = net.inputs.units.clone()
    net.place(net, None, [SimpleNamespace(state=7 * state[:, None], counts=1.0)], lambda x: x)
    assert torch.equal(net.inputs.units, units)
    fresh = network(seed=1)
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh.inputs.units, units) and bool(fresh.inputs.measured)


def test_vorticity_and_divergence_are_what_they_are_called() -> None:
    """u = U cos φ: ζ = 2 U sin φ / a, δ = 0."""
    phi = torch.deg2rad(torch.from_numpy(GRID.lat).float())[:, None].expand(GRID.shape)
    state = torch.zeros(1, 3, *GRID.shape)
    state[0, 1] = 30 * phi.cos()
    net = network()
    raw = dict(zip(net.inputs.names, net.inputs.raw(state)[0], strict=True))
    spin = 2 * 30 * phi.sin() / planets.RADIUS
    torch.testing.assert_close(raw["vorticity of u"], spin, rtol=1e-3, atol=1e-10)
    assert raw["divergence of u"].abs().max() < 1e-9
    torch.testing.assert_close(raw["phi"], state[0, 0] - 1)  # the climatology is 1


def test_several_levels_are_carried_by_their_own_winds() -> None:
    levels = planets.TWO_LEVELS
    assert levels.pairs() == [(0, 2), (1, 3)]
    assert carriers(levels, levels.pairs()) == [[4], [5, 6]]
    net = network(levels, conserved=("ps",))
    state = torch.cat([states(2, 3), states(2, 4, seed=1)], 1)
    assert {"carried ps", "carried t500", "carried vorticity of u850"} <= set(net.inputs.names)
    assert net(state).shape == state.shape
    calm = state.clone()
    calm[:, [0, 2]] = 0
    moved = dict(zip(net.inputs.names, net.inputs.raw(calm).abs().amax((0, 2, 3)), strict=True))
    assert moved["carried t500"] < 1e-3 < moved["carried t850"]


def test_gradient_by_finite_differences() -> None:
    harmonics = Harmonics(GRID, 5, planets.RADIUS).double()
    net = network(harmonics=harmonics, conserved=("phi",), forcings=1).double()
    state = states(1).double().requires_grad_()
    forcing = torch.randn(1, 1, *GRID.shape, dtype=torch.float64)
    direction = states(1, seed=3).double()
    (gradient,) = torch.autograd.grad(net(state, forcing).square().sum(), state)
    h = 1e-5
    with torch.no_grad():
        ahead, behind = (net(state + s * h * direction, forcing).square().sum() for s in (1, -1))
    slope = (ahead - behind) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-4, atol=0)


def test_on_a_reduced_grid() -> None:
    grid = planets.octahedral(4)
    net = network(grid=grid, harmonics=None, advected=False)
    assert net(torch.randn(2, 3, *grid.shape)).shape == (2, 3, *grid.shape)


def test_refused() -> None:
    with pytest.raises(UserError, match="conserved channels among phi, u, v, got 'ps'"):
        network(conserved=("ps",))
    other = planets.statistics(planets.TWO_LEVELS, GRID)
    with pytest.raises(UserError, match="expected statistics of the channels phi, u, v"):
        FilterNetwork(GRID, CHANNELS, other)
    still = planets.statistics(CHANNELS, GRID)
    still.std[1] = 0
    with pytest.raises(UserError, match="std > 0 of every channel, got none of 'u'"):
        FilterNetwork(GRID, CHANNELS, still)
