"""The laws of contact and friction: slopes of their energies, Coulomb's limit, a lasting stick."""

import pytest
import torch

from sciml.physics import contact

STICK = 1e-5


def slips() -> torch.Tensor:
    """Sticking, at the edge, sliding, and none at all."""
    generator = torch.Generator().manual_seed(0)
    way = torch.randn(8, 3, generator=generator, dtype=torch.float64)
    lengths = STICK * torch.tensor([0.01, 0.3, 0.9, 0.999, 1.001, 3.0, 50.0, 0.0]).double()
    return way / way.norm(dim=1, keepdim=True) * lengths[:, None]


def test_pressure_is_the_slope_of_its_energy() -> None:
    gap = torch.tensor([-2e-6, -1e-7, 1e-7, 1e-3]).double().requires_grad_()
    multiplier = torch.tensor([0.0, 10.0, 3e3, 0.0]).double()
    energy = contact.energy(gap, 1e9, multiplier).sum()
    slope = torch.autograd.grad(energy, gap)[0]
    torch.testing.assert_close(-slope, contact.pressure(gap, 1e9, multiplier).detach())


def test_nothing_pulls() -> None:
    gap = torch.tensor([1e-3]).double()
    assert contact.pressure(gap, 1e9, torch.tensor([5.0]).double()).item() == 0


def test_traction_is_the_slope_of_its_energy() -> None:
    slip, limit = slips()[:-1].requires_grad_(), torch.linspace(1, 7, 7).double()
    energy = contact.traction_energy(slip, limit, STICK).sum()
    slope = torch.autograd.grad(energy, slip)[0]
    torch.testing.assert_close(slope, contact.traction(slip, limit, STICK).detach())


def test_slope_of_the_traction_is_its_jacobian() -> None:
    slip, limit = slips(), torch.linspace(1, 8, 8).double()
    found = contact.traction_slope(slip, limit, STICK, torch.eye(3).double().expand(8, 3, 3))
    for i in range(8):
        row = lambda s, i=i: contact.traction(s[None], limit[i : i + 1], STICK)[0]  # noqa: E731
        jacobian = torch.autograd.functional.jacobian(row, slip[i])
        torch.testing.assert_close(found[i], jacobian, rtol=1e-10, atol=1e-6)


def test_traction_stays_below_coulombs_limit_and_reaches_it() -> None:
    limit = torch.full((8,), 3.0).double()
    size = contact.traction(slips(), limit, STICK).norm(dim=1)
    assert (size <= 3.0 + 1e-12).all()
    torch.testing.assert_close(size[4:7], limit[4:7])
    assert size[7] == 0


def test_what_is_kept_of_the_slip_holds_the_same_traction() -> None:
    limit = torch.ones(8).double()
    kept = contact.stuck(slips(), STICK)
    assert (kept.norm(dim=1) <= STICK * (1 + 1e-12)).all()
    expected = contact.traction(slips(), limit, STICK)
    torch.testing.assert_close(contact.traction(kept, limit, STICK), expected)


@pytest.mark.parametrize("law", [contact.traction, contact.traction_energy])
def test_gradients_at_no_slip_are_finite(law) -> None:
    slip = torch.zeros(1, 3).double().requires_grad_()
    law(slip, torch.ones(1).double(), STICK).sum().backward()
    assert slip.grad.isfinite().all()
