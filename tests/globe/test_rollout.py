"""Rollouts: checkpoints change memory, not numbers; hooks and forcings come where they belong."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sciml.calculus.sphere import Harmonics, gauss
from sciml.contracts import UserError
from sciml.globe.noise import InputNoise
from sciml.globe.rollout import rollout, trajectory
from sciml.globe.windows import Window
from sciml.training.step import Step
from tests.globe.windows import Columns, double, noise, window_of

SHAPE = (4, 6)


def window(steps: int, channels: int = 2, forcings: int = 1) -> Window:
    forcing = noise(3, steps + 1, forcings, *SHAPE, seed=1) if forcings else None
    return window_of(noise(3, steps + 1, channels, *SHAPE), forcing)


@pytest.mark.parametrize("steps", [1, 4])
def test_checkpoints_change_no_number(steps: int) -> None:
    with double():
        model = Columns(2, 1)
    found = {}
    for checkpoint in (False, True):
        forecast = rollout(model, window(steps), steps, checkpoint)
        gradient = torch.autograd.grad(forecast.square().sum(), tuple(model.parameters()))
        found[checkpoint] = forecast, *gradient
    assert all(torch.equal(a, b) for a, b in zip(*found.values(), strict=True))


def test_the_last_step_is_not_made_twice() -> None:
    with double():
        model = Columns(2, 1)
    rollout(model, window(4), 4).sum().backward()
    assert model.calls == 4 + 3
    model.calls = 0
    with torch.no_grad():
        rollout(model, window(4), 4)
    assert model.calls == 4


class Held(TorchDispatchMode):
    """Bytes of all tensors made inside that are alive, and the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


class Deep(nn.Module):
    """A model whose activations are a hundred times its state; a network's are a thousand."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in ((2, 64), (64, 64), (64, 2)))

    def forward(self, state: torch.Tensor, forcing: torch.Tensor | None) -> torch.Tensor:
        hidden = state
        for layer in self.layers[:-1]:
            hidden = layer(hidden).tanh()
        return state + self.layers[-1](hidden)


def peak(model: nn.Module, steps: int, checkpoint: bool) -> int:
    """Most bytes held from the forecast to the end of its backward pass, without the window."""
    given = window_of(noise(1, steps + 1, 2, 32, 32, dtype=torch.float32))
    with Held() as held:
        forecast = rollout(model, given, steps, checkpoint)
        (forecast - given.state[:, 1:]).square().mean().backward()
    return held.peak


def test_memory_hardly_grows_with_the_number_of_steps() -> None:
    model = Deep()
    peak(model, 1, True)  # gradients are there from now on
    one, seven = peak(model, 1, True), peak(model, 7, True)
    assert seven <= 1.3 * one
    assert peak(model, 7, False) > 3 * one


@contextmanager
def saved() -> Iterator[list[int]]:
    """Sizes of the tensors that the graph saves inside."""
    sizes: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


def test_the_graph_saves_the_activations_of_one_step() -> None:
    model, given = Deep(), window_of(noise(1, 8, 2, 32, 32, dtype=torch.float32))
    found = {}
    for steps in (1, 7):
        with saved() as sizes:
            rollout(model, given, steps)
        found[steps] = sum(sizes)
    assert found[7] <= 1.3 * found[1]


def test_forcing_and_hooks_come_step_by_step() -> None:
    given = window(3)
    seen = []

    def model(state, forcing):
        seen.append(forcing)
        return state + 1

    def after(state, step):
        return state + 10.0**step

    forecast = rollout(model, given, 3, checkpoint=False, after=after)
    start = given.state[:, 0]
    assert torch.allclose(forecast[:, 2], start + 3 + 10 + 100 + 1000)
    assert all(torch.equal(f, given.forcing[:, k]) for k, f in enumerate(seen))
    states = list(trajectory(model, start, given.forcing, 3, after))
    assert torch.equal(torch.stack(states, dim=1), forecast)


def test_noise_is_put_on_the_first_state_alone() -> None:
    calls = []

    def put(state):
        calls.append(state)
        return state + 5

    given = window(3)
    forecast = rollout(lambda state, forcing: 2 * state, given, 3, False, noise=put)
    assert len(calls) == 1
    assert torch.allclose(forecast[:, 2], 8 * (given.state[:, 0] + 5))


@pytest.mark.parametrize("checkpoint", [False, True])
def test_noise_on_every_input_is_in_the_states_that_follow(checkpoint: bool) -> None:
    """y = w (x + n), w = 2, n = 5, 7, 9: the third state is w³ (x + 5) + 7 w² + 9 w."""
    given, sizes, model = window(3), iter([5.0, 7.0, 9.0]), nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, 2.0)

    def step(state, forcing):
        return model(state[..., None])[..., 0]

    step.named_parameters = model.named_parameters  # what a checkpoint asks a model for
    put = lambda state: state + next(sizes)  # noqa: E731
    forecast = rollout(step, given, 3, checkpoint, put, every=True)
    x = given.state[:, 0]
    assert torch.allclose(forecast[:, 0], 2 * (x + 5))
    assert torch.allclose(forecast[:, 2], 8 * x + 86)
    forecast.sum().backward()  # a step that is made again has the noise it had
    slope = (x + 5) + (4 * (x + 5) + 7) + (12 * (x + 5) + 28 + 9)
    assert torch.allclose(model.weight.grad, slope.sum())


def test_noise_has_the_size_that_was_asked_for() -> None:
    put = InputNoise([1.0, 100.0], amplitude=0.1)
    state = torch.zeros(400, 2, 5, 5)
    first = put(state, torch.Generator().manual_seed(3))
    assert first.std((0, 2, 3)).tolist() == pytest.approx([0.1, 10], rel=0.03)
    assert torch.equal(first, put(state, torch.Generator().manual_seed(3)))
    torch.manual_seed(4)
    default = put(state)
    torch.manual_seed(4)
    assert torch.equal(default, put(state))
    smooth, still = Harmonics(gauss(8), 3), torch.zeros(50, 1, 8, 16)
    kept = InputNoise([1.0], harmonics=smooth)(still)
    assert torch.allclose(smooth.project(kept), kept, atol=1e-6)
    assert 0.01 < float(kept.std()) < 0.05  # 16 waves of 128 cells: 0.1 · √(16/128) = 0.035
    with pytest.raises(UserError, match="amplitude >= 0"):
        InputNoise([1.0], amplitude=-1.0)
    with pytest.raises(UserError, match="give the Harmonics itself"):
        InputNoise([1.0], harmonics=smooth.project)


def test_random_layers_draw_the_same_when_activations_are_made_again() -> None:
    model = Forced(nn.Sequential(nn.Conv2d(2, 2, 1), nn.Dropout(0.5)))
    given = window_of(window(4, forcings=0).state.float())
    gradients = []
    for checkpoint in (False, True):
        torch.manual_seed(0)
        forecast = rollout(model, given, 4, checkpoint)
        gradients.append(torch.autograd.grad(forecast.square().sum(), tuple(model.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


class Forced(nn.Module):
    """A model that sees no forcing."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, state: torch.Tensor, forcing: torch.Tensor | None) -> torch.Tensor:
        return self.inner(state)


@pytest.mark.parametrize("checkpoint", [True, False])
def test_a_step_that_is_evaluated_elsewhere_has_its_own_gradient(checkpoint: bool) -> None:
    """Line searches and SAM lend the model parameters that are gone at the backward pass."""
    with double():
        model = Columns(2, 1)

    def objective(model, given):
        return {
            "error": (rollout(model, given, 3, checkpoint) - given.state[:, 1:]).square().mean()
        }

    parameters = dict(model.named_parameters())
    moved = {name: value.detach() * 1.5 + 0.1 for name, value in parameters.items()}
    found = Step(objective, model, [window(3)], 0, parameters).again(moved).rows()[0]
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(moved[name])
    loss = objective(model, window(3))["error"]
    expected = torch.autograd.grad(loss, tuple(parameters.values()))
    assert torch.allclose(found, torch.cat([g.reshape(-1) for g in expected]), rtol=1e-12)


def test_a_window_that_is_too_short_is_refused() -> None:
    with pytest.raises(UserError, match="at least 8 states for 7 steps, got 4; set rollout=7"):
        rollout(Columns(2, 1), window(3), 7)
