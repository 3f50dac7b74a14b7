"""A part of the globe: relaxation to the boundary, its mesh, and networks on it."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import LatLon
from sciml.contracts import UserError
from sciml.globe.rollout import rollout
from sciml.weather.fastnet import FastNet
from sciml.weather.filter_network import FilterNetwork
from sciml.weather.limited_area import (
    LimitedArea,
    Relaxation,
    led_by_truth,
    regional,
    relaxation,
)
from sciml.weather.mesh import icosahedral
from tests.weather import planets

GRID = planets.band(30, 60, -10, 40, 2.5)  # 13 × 21
CHANNELS = planets.SHALLOW_WATER


class Still(torch.nn.Module):
    """Persistence; remembers its forcing."""

    def forward(self, state, forcing):
        self.seen = forcing
        return state


def test_weights_are_davies() -> None:
    weight = relaxation(GRID, 4)
    assert weight.shape == (13, 21) and np.all(weight[[0, -1]] == 1)
    np.testing.assert_allclose(weight[:5, 10], 1 - np.tanh([0, 0.5, 1, 1.5, np.inf]))
    np.testing.assert_array_equal(weight, weight[::-1, ::-1])
    assert not weight[4:-4, 4:-4].any()


def test_a_closed_band_has_two_edges() -> None:
    grid = LatLon(np.arange(20, 61, 5.0), np.arange(0, 360, 5.0))
    weight = relaxation(grid, 3)
    assert np.all(weight == weight[:, :1]) and weight[0, 0] == 1 and not weight[3:-3].any()


def test_the_edge_is_the_boundarys_and_the_middle_the_models() -> None:
    still = Still()
    model = LimitedArea(still, GRID, zone=4)
    state, boundary = torch.randn(2, 3, *GRID.shape), torch.randn(2, 3, *GRID.shape)
    own = torch.randn(2, 1, *GRID.shape)
    after = model(state, torch.cat([own, boundary], 1))
    torch.testing.assert_close(after[..., 0, :], boundary[..., 0, :])
    torch.testing.assert_close(after[..., 4:-4, 4:-4], state[..., 4:-4, 4:-4])
    part = float(np.tanh(0.5))
    mixed = part * state[..., 1, 10] + (1 - part) * boundary[..., 1, 10]
    torch.testing.assert_close(after[..., 1, 10], mixed)
    assert torch.equal(still.seen, own)
    model(state, boundary)
    assert still.seen is None


def test_repeated_steps_tend_to_the_boundary_in_the_zone() -> None:
    """Persistence relaxed k times: s_b + (1 - w)^k (s - s_b)."""
    model = LimitedArea(Still(), GRID, zone=4)
    state, boundary = torch.randn(1, 3, *GRID.shape), torch.randn(1, 3, *GRID.shape)
    after = state
    for _ in range(5):
        after = model(after, boundary)
    left = (1 - model.relaxation.weight) ** 5
    torch.testing.assert_close(after, boundary + left * (state - boundary), rtol=1e-4, atol=1e-5)


@dataclass(frozen=True)
class Window:
    state: torch.Tensor
    forcing: torch.Tensor | None


@pytest.mark.parametrize("forcings", [0, 2])
def test_training_is_led_by_the_truth_one_step_later(forcings: int) -> None:
    state = torch.randn(2, 3, 3, *GRID.shape)
    own = torch.randn(2, 3, forcings, *GRID.shape) if forcings else None
    window = led_by_truth(Window(state, own))
    assert window.forcing.shape[2] == forcings + 3
    assert torch.equal(window.forcing[:, 0, forcings:], state[:, 1])
    still = LimitedArea(Still(), GRID, zone=4)
    after = still(state[:, 0], window.forcing[:, 0])
    torch.testing.assert_close(after[..., 0, :], state[:, 1, :, 0, :])


def test_an_objective_leads_a_rollout_as_the_wrapper_does() -> None:
    """`rollout` with the relaxation after each step against the wrapper with boundary forcing."""
    window = Window(torch.randn(2, 4, 3, *GRID.shape), None)
    wrapped = LimitedArea(Still(), GRID, zone=4)
    led = led_by_truth(window)
    state = window.state[:, 0]
    states = []
    for step in range(3):
        state = wrapped(state, led.forcing[:, step])
        states.append(state)
    after = Relaxation(GRID, 4).to_truth(window)
    torch.testing.assert_close(rollout(Still(), window, 3, after=after), torch.stack(states, 1))


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("network", ["fastnet", "filters"])
def test_networks_on_a_region(seen: bool, network: str) -> None:
    statistics = planets.statistics(CHANNELS, GRID)
    mesh = regional(GRID, 4)
    forcings = 1 + 3 * seen
    settings = {"forcings": forcings, "width": 8, "layers": 1, "refinement": mesh}
    if network == "fastnet":
        net = FastNet(GRID, statistics, **settings)
    else:
        net = FilterNetwork(GRID, CHANNELS, statistics, None, advected=False, **settings)
        torch.nn.init.normal_(net.finish[1][-1].weight)
    model = LimitedArea(net, GRID, 4, statistics if seen else None)
    state = torch.randn(2, 3, *GRID.shape)
    forcing = torch.randn(2, 4, *GRID.shape, requires_grad=True)
    after = model(state, forcing)
    assert after.shape == state.shape and after.isfinite().all()
    (gradient,) = torch.autograd.grad(after[..., 6, 10].sum(), forcing)
    assert bool(gradient[:, 1:].any()) == seen  # the middle knows of the edge only if it is told


def test_the_mesh_under_a_region() -> None:
    part, whole = regional(GRID, 4), icosahedral(4)
    assert 20 < len(part.nodes) < 200 < len(whole.nodes)
    assert set(np.unique(part.level)) == {1, 2, 3, 4}  # long edges that fit in stay
    lat, lon = part.points.lat, (part.points.lon + 180) % 360 - 180
    assert lat.min() > 20 and lat.max() < 70 and lon.min() > -35 and lon.max() < 65


def test_refused() -> None:
    with pytest.raises(UserError, match="zone of 1 to 6 cells on a grid of 13 × 21, got 7"):
        relaxation(GRID, 7)
    with pytest.raises(UserError, match="refine it"):
        regional(planets.band(0, 5, 0, 5, 1), 0, margin=0.1)
