"""FastNet: the published size, increments in physical units, forms that must agree, gradients."""

import pytest
import torch

from sciml.calculus.sphere import gauss
from sciml.weather.fastnet import FastNet
from sciml.weather.graphs import within
from tests.weather import planets

GRID = gauss(8)
STATISTICS = planets.statistics(planets.SHALLOW_WATER, GRID)


def small(**settings) -> FastNet:
    torch.manual_seed(0)
    return FastNet(GRID, STATISTICS, **{"width": 16, "layers": 2, "refinement": 1} | settings)


def test_the_published_number_of_parameters() -> None:
    grid = planets.octahedral(96)
    channels = planets.Channels([f"c{i}" for i in range(72)])
    with torch.device("meta"):
        net = FastNet(grid, planets.statistics(channels, grid), forcings=12)
    count = sum(p.numel() for p in net.parameters())
    layer = 2 * (3 * 768**2 + 4 * 768)  # two MLPs of 2·768 → 768 → 768 with a norm
    assert sum(p.numel() for p in net.processor.layers.parameters()) == 16 * layer
    assert abs(count / 62.2e6 - 1) < 0.01


def test_the_output_is_an_increment_in_units_of_the_state() -> None:
    state = torch.randn(2, 3, *GRID.shape)
    for by_increment, unit in ((False, STATISTICS.std), (True, STATISTICS.increment_std)):
        net = small(by_increment=by_increment)
        torch.nn.init.zeros_(net.output[-1].weight)
        torch.nn.init.ones_(net.output[-1].bias)
        change = net(state) - state
        torch.testing.assert_close(
            change[0, :, 3, 5], torch.tensor(unit).float(), rtol=1e-4, atol=0
        )


def test_physical_units_outside() -> None:
    """A network whose channels are in other units gives the same forecast in those units."""
    state, net, other = torch.randn(1, 3, *GRID.shape), small(), small()
    factor, offset = torch.tensor([100.0, 2, 3]), torch.tensor([5.0, 0, -1])
    other.scaling.std *= factor
    other.scaling.mean.mul_(factor).add_(offset)

    def converted(x):
        return x * factor[:, None, None] + offset[:, None, None]

    torch.testing.assert_close(other(converted(state)), converted(net(state)), rtol=1e-4, atol=1e-3)


def test_each_of_a_batch_is_its_own_forecast() -> None:
    state, forcing = torch.randn(3, 3, *GRID.shape), torch.randn(3, 2, *GRID.shape)
    net = small(forcings=2)
    together = net(state, forcing)
    for i in range(3):
        one = net(state[i : i + 1], forcing[i : i + 1])
        torch.testing.assert_close(one[0], together[i], rtol=1e-4, atol=1e-4)
    assert (net(state, forcing + 1) - together).abs().max() > 1e-3


@pytest.mark.parametrize("receiver", [False, True])
def test_checkpointing_changes_memory_only(receiver: bool) -> None:
    state = torch.randn(1, 3, *GRID.shape)
    gradients = []
    for checkpointing in (False, True):
        net = small(receiver=receiver, checkpointing=checkpointing)
        net(state).square().mean().backward()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
    assert len(gradients[0]) > 20
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_gradient_by_finite_differences() -> None:
    net = small(width=6, layers=1, refinement=0).double()
    state = torch.randn(1, 3, *GRID.shape, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(state)
    value = net(state).square().sum()
    (gradient,) = torch.autograd.grad(value, state)
    h = 1e-6
    with torch.no_grad():
        ahead, behind = (net(state + s * h * direction).square().sum() for s in (1, -1))
    slope = (ahead - behind) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=0)


def test_bf16_autocast_stays_near_float32() -> None:
    state, net = torch.randn(1, 3, *GRID.shape), small()
    exact = net(state) - state
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = net(state)
    assert rounded.dtype == torch.float32
    assert (rounded - state - exact).norm() < 0.03 * exact.norm()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        net(state).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def test_on_a_reduced_grid_and_by_radius() -> None:
    grid = planets.octahedral(4)
    statistics = planets.statistics(planets.SHALLOW_WATER, grid)
    net = FastNet(grid, statistics, width=8, layers=1, refinement=1, encoder=within(0.3))
    assert net(torch.randn(2, 3, *grid.shape)).shape == (2, 3, *grid.shape)


@pytest.mark.slow
def test_compiled_is_the_same() -> None:
    state, net = torch.randn(1, 3, *GRID.shape), small()
    torch.testing.assert_close(torch.compile(net)(state), net(state), rtol=1e-4, atol=1e-4)
