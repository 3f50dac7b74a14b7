"""Spectral clipping: the bound, what it leaves alone, and the two ways to clip."""

from functools import partial

import pytest
import torch
from torch import nn

from sciml.contracts import UserError
from sciml.training.least_squares import GaussNewton, LevenbergMarquardt
from sciml.training.optimizers.self_scaled import SelfScaled
from sciml.training.optimizers.spectral_clipping import SpectralClipping, hard, soft


def matrix(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def spectral_norm(tensor):
    return float(torch.linalg.matrix_norm(tensor.flatten(1), 2))


@pytest.mark.parametrize("clip", [hard, soft])
@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (1, 8), (6, 3, 2)])
def test_no_step_exceeds_the_limit(clip, shape):
    weight = nn.Parameter(matrix(*shape))
    adam = partial(torch.optim.Adam, lr=0.1)
    optimizer = SpectralClipping([weight], adam, limit=0.7, clip=clip)
    plain = nn.Parameter(matrix(*shape))
    inner = adam([plain])
    largest = 0.0
    for step in range(5):
        before = weight.detach().clone(), plain.detach().clone()
        weight.grad = plain.grad = matrix(*shape, seed=step)
        optimizer.step()
        inner.step()
        assert spectral_norm(weight.detach() - before[0]) <= 0.1 * 0.7 * (1 + 1e-9)
        largest = max(largest, spectral_norm(plain.detach() - before[1]))
    assert largest > 0.15  # Adam alone goes further


def test_small_steps_and_vectors_are_left_alone_bit_by_bit():
    shapes = [(4, 5), (5,), ()]
    pairs = [(nn.Parameter(matrix(*s)), nn.Parameter(matrix(*s))) for s in shapes]
    optimizer = SpectralClipping([a for a, _ in pairs], torch.optim.Adam, limit=100.0)
    adam = torch.optim.Adam([b for _, b in pairs])
    for step in range(3):
        for a, b in pairs:
            a.grad = b.grad = matrix(*a.shape, seed=step)
        optimizer.step()
        adam.step()
    assert all(torch.equal(a, b) for a, b in pairs)


def singular(values, shape=(5, 3)):
    left, _ = torch.linalg.qr(matrix(*shape))
    right, _ = torch.linalg.qr(matrix(shape[1], shape[1], seed=1))
    return left @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ right.T


def test_hard_cuts_singular_values_and_keeps_their_vectors():
    clipped = hard(singular([3.0, 1.0, 0.2]), 0.5)
    torch.testing.assert_close(clipped, singular([0.5, 0.5, 0.2]))


@pytest.mark.parametrize("limit", [1e-3, 0.5, 1e3])
def test_soft_bends_singular_values(limit):
    values = [3.0, 1.0, 0.2]
    bent = [v / (1 + (v / limit) ** 2) ** 0.5 for v in values]
    for found in (soft(singular(values), limit), soft(singular(values).T, limit).T):
        torch.testing.assert_close(found, singular(bent), rtol=1e-9, atol=1e-12)


def test_soft_stopped_early_still_keeps_the_limit():
    wide = singular([1e3, 1.0, 1e-3])
    for iterations in range(12):
        assert spectral_norm(soft(wide, 0.5, iterations)) < 0.5


def test_schedules_and_checkpoints_see_the_wrapped_optimiser():
    weight = nn.Parameter(matrix(3, 3))
    optimizer = SpectralClipping([weight], partial(torch.optim.Adam, lr=0.1))
    optimizer.param_groups[0]["lr"] = 0.0
    weight.grad = matrix(3, 3)
    before = weight.detach().clone()
    optimizer.step()
    assert torch.equal(weight.detach(), before)
    again = SpectralClipping([weight], partial(torch.optim.Adam, lr=0.1))
    again.load_state_dict(optimizer.state_dict())
    assert again.param_groups[0]["lr"] == 0.0
    assert again.param_groups is again.inner.param_groups
    assert torch.equal(again.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg"])


def test_numbers_are_checked():
    with pytest.raises(UserError, match="limit > 0"):
        SpectralClipping([nn.Parameter(torch.zeros(2))], torch.optim.Adam, limit=0.0)


def test_what_the_wrapped_optimiser_asks_for_is_asked_for():
    weight = [nn.Parameter(torch.zeros(2, 2))]
    wrapped = SpectralClipping(weight, SelfScaled)
    assert wrapped.needs_double and wrapped.single_process
    plain = SpectralClipping(weight, torch.optim.Adam)
    assert not plain.needs_double and not plain.single_process


@pytest.mark.parametrize("inner", [LevenbergMarquardt, GaussNewton])
def test_an_optimiser_of_residual_rows_is_refused(inner):
    with pytest.raises(UserError, match=f"follows gradients, got {inner.__name__}") as refused:
        SpectralClipping([nn.Parameter(torch.zeros(2))], inner)
    assert "\n" not in str(refused.value)
