"""SOAP against Adam, against the polar factor, and under rotations of the weights."""

import copy

import pytest
import torch
from torch import nn

from sciml.contracts import UserError
from sciml.training.optimizers.soap import SOAP, rotate, rotate_back


def matrices(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def rotation(n, seed):
    return torch.linalg.qr(matrices((n, n), seed=seed)[0])[0]


def trained(make, weight, gradients):
    parameter = nn.Parameter(weight.clone())
    optimizer = make([parameter])
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return parameter.detach(), optimizer.state[parameter]


@pytest.mark.parametrize(("shape", "keys"), [((7,), {}), ((), {}), ((4, 6), {"largest": 1})])
def test_without_bases_it_is_adam(shape, keys):
    weight, *gradients = matrices(*[shape] * 9)
    ours, _ = trained(lambda p: SOAP(p, lr=0.1, **keys), weight, gradients)
    adam, _ = trained(lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.95, 0.95)), weight, gradients)
    torch.testing.assert_close(ours, adam, rtol=1e-12, atol=1e-14)


def test_the_first_step_is_the_polar_factor():
    """In its own bases G = U Σ Vᵀ is diagonal, and Adam's first step is its sign: U Vᵀ."""
    weight, gradient = matrices((5, 3), (5, 3))
    moved, _ = trained(lambda p: SOAP(p, lr=0.1), weight, [gradient])
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    torch.testing.assert_close(moved, weight - 0.1 * left @ right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("every", [1, 3])
def test_rotated_weights_take_the_rotated_path(every):
    """Adam has no such invariance."""
    weight, *gradients = matrices(*[(4, 4)] * 12)
    left, right = rotation(4, 1), rotation(4, 2)

    def paths(make):
        plain, _ = trained(make, weight, gradients)
        turned, _ = trained(make, left @ weight @ right, [left @ g @ right for g in gradients])
        return left @ plain @ right, turned

    ours = paths(lambda p: SOAP(p, lr=0.1, every=every))
    torch.testing.assert_close(*ours, rtol=1e-6, atol=1e-7)
    adam = paths(lambda p: torch.optim.Adam(p, lr=0.1))
    assert float((adam[0] - adam[1]).abs().max()) > 1e-2


def test_the_bases_come_to_diagonalise_the_factors():
    stretched = torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)[:, None]
    gradients = [rotation(4, 3) @ (stretched * g) for g in matrices(*[(4, 6)] * 300)]
    _, state = trained(lambda p: SOAP(p, every=1, betas=(0.9, 0.999)), gradients[0], gradients)
    for factor, basis in zip(state["factors"], state["bases"], strict=True):
        identity = torch.eye(len(basis), dtype=torch.float64)
        torch.testing.assert_close(basis.T @ basis, identity, rtol=0, atol=1e-12)
        inside = basis.T @ factor @ basis
        assert float((inside - inside.diag().diag()).norm()) < 0.05 * float(inside.diag().norm())


def test_long_axes_keep_the_identity():
    weight, gradient = matrices((3, 5), (3, 5))
    _, state = trained(lambda p: SOAP(p, largest=4), weight, [gradient] * 3)
    assert state["factors"][0].shape == (3, 3) and state["factors"][1] is None
    weight, *gradients = matrices((2, 3, 4), (2, 3, 4), (2, 3, 4))
    _, state = trained(SOAP, weight, gradients)
    assert [len(factor) for factor in state["factors"]] == [2, 3, 4]


def test_rotating_back_undoes_rotating():
    (tensor,) = matrices((2, 3, 4))
    bases = [rotation(2, 1), None, rotation(4, 2)]
    torch.testing.assert_close(rotate_back(rotate(tensor, bases), bases), tensor)
    plain = torch.einsum("abc,ai,ck->ibk", tensor, bases[0], bases[2])
    torch.testing.assert_close(rotate(tensor, bases), plain)


def test_weight_decay_is_decoupled():
    weight = torch.ones(2, 2, dtype=torch.float64)
    moved, _ = trained(
        lambda p: SOAP(p, lr=0.1, weight_decay=0.5), weight, [torch.zeros(2, 2).double()]
    )
    torch.testing.assert_close(moved, 0.95 * weight)


def test_saved_and_loaded_goes_on_bit_by_bit():
    weight, *gradients = matrices(*[(4, 3)] * 10)
    whole, _ = trained(lambda p: SOAP(p, every=3), weight, gradients)
    parameter = nn.Parameter(weight.clone())
    optimizer = SOAP([parameter], every=3)
    for number, gradient in enumerate(gradients):
        if number == 5:
            state = copy.deepcopy(optimizer.state_dict())
            optimizer = SOAP([parameter], every=3)
            optimizer.load_state_dict(state)
        parameter.grad = gradient.clone()
        optimizer.step()
    assert torch.equal(parameter.detach(), whole)


def test_numbers_are_checked():
    with pytest.raises(UserError, match="every >= 1"):
        SOAP([nn.Parameter(torch.zeros(2))], every=0)
