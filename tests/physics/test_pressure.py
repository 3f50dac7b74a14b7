"""Solids with a pressure: the same law at p = k θ, derivatives, the limit without compliance."""

import pytest
import torch
from torch.func import grad, jacfwd, vmap

from sciml.physics import hyperelasticity as laws

MU, LAM = torch.tensor(7.0).double(), torch.tensor(19.0).double()
KAPPA, NONE = LAM + 2 * MU / 3, torch.tensor(0.0).double()


def of(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


#: Law, the same with a pressure, and k.
PAIRS = {
    "linear": (laws.Linear(MU, LAM), laws.MixedLinear(MU, 1 / LAM), LAM),
    "neo-Hookean": (
        laws.Isotropic(laws.NeoHookean(MU, LAM)),
        laws.Mixed(laws.NeoHookean(MU, NONE), laws.Logarithmic(), 1 / LAM),
        LAM,
    ),
    "stable neo-Hookean": (
        laws.Isotropic(laws.StableNeoHookean(MU, LAM)),
        laws.Mixed(laws.StableNeoHookean(MU, -5 * MU / 6), laws.Relative(), 1 / (LAM + 5 * MU / 6)),
        LAM + 5 * MU / 6,
    ),
    "Mooney-Rivlin": (
        laws.Isotropic(laws.MooneyRivlin(of(2.5), of(1.0), KAPPA)),
        laws.Mixed(laws.MooneyRivlin(of(2.5), of(1.0), NONE), laws.Relative(), 1 / KAPPA),
        KAPPA,
    ),
    "Yeoh": (
        laws.Isotropic(laws.Yeoh(of(3.5), of(-0.8), of(0.3), KAPPA)),
        laws.Mixed(laws.Yeoh(of(3.5), of(-0.8), of(0.3), NONE), laws.Relative(), 1 / KAPPA),
        KAPPA,
    ),
}


@pytest.fixture
def F() -> torch.Tensor:
    draw = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    return torch.eye(3) + 0.2 * draw


@pytest.mark.parametrize("name", PAIRS)
def test_the_stationary_pressure_gives_the_law_back(name: str, F: torch.Tensor) -> None:
    law, mixed, k = PAIRS[name]
    theta = mixed.volumetric(F)
    solid = mixed.under(k * theta)
    torch.testing.assert_close(solid.stress(F), law.stress(F), rtol=1e-12, atol=1e-12)
    energy = solid.energy(F) - (k * theta) ** 2 * mixed.compliance / 2
    torch.testing.assert_close(energy, law.energy(F), rtol=1e-12, atol=1e-12)
    assert mixed.shear_modulus() == pytest.approx(7.0, rel=1e-14)


@pytest.mark.parametrize("name", PAIRS)
def test_stress_and_tangent_at_a_given_pressure(name: str, F: torch.Tensor) -> None:
    mixed, p, scale = PAIRS[name][1], of(3.0), torch.linspace(0.5, 1.5, 5).double()
    solid = mixed.under(p)
    each = lambda function: vmap(vmap(function))(F)  # noqa: E731
    torch.testing.assert_close(solid.stress(F), each(grad(solid.energy)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(mixed.spread(F), each(grad(mixed.volumetric)))
    found = laws.full(mixed.under(p.expand(F.shape[:-2])).tangent(F, scale), F)
    wanted = each(jacfwd(grad(solid.energy))) * scale[:, None, None, None, None]
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


def test_compliances_are_inverses_and_vanish_at_one_half() -> None:
    E, nu = of(2e5), of(0.47)
    mu, compliance = laws.lame_compliance(E, nu)
    torch.testing.assert_close((mu, 1 / compliance), laws.lame(E, nu))
    torch.testing.assert_close(1 / laws.bulk_compliance(mu, nu), laws.bulk_modulus(mu, nu))
    assert laws.lame_compliance(E, of(0.5))[1] == 0 == laws.bulk_compliance(mu, of(0.5))


@pytest.mark.parametrize("s", [0.7, 1.4])
@pytest.mark.parametrize("name", ["neo-Hookean", "stable neo-Hookean", "Mooney-Rivlin", "Yeoh"])
def test_incompressible_uniaxial(name: str, s: float) -> None:
    """F = diag(s, s^-½, s^-½): p frees the sides, whatever θ; P = 2 (s - s⁻²)(W1 + W2/s)."""
    mixed = PAIRS[name][1]
    F = torch.diag(of(s).pow(torch.tensor([1.0, -0.5, -0.5]).double()))[None]
    without, spread = mixed.under(of(0.0)).stress(F)[0], mixed.spread(F)[0]
    p = -without[1, 1] / spread[1, 1]
    P = mixed.under(p).stress(F)[0]
    assert abs(float(P[1, 1])) < 1e-13 and abs(float(P[2, 2])) < 1e-13
    e = s * s + 2 / s - 3
    W1 = {
        "neo-Hookean": 3.5,
        "stable neo-Hookean": 14 / 3 * (1 - 1 / (e + 4)),
        "Mooney-Rivlin": 2.5,
        "Yeoh": 3.5 - 1.6 * e + 0.9 * e * e,
    }[name]
    W2 = 1.0 if name == "Mooney-Rivlin" else 0.0
    assert float(P[0, 0]) == pytest.approx(2 * (s - s**-2) * (W1 + W2 / s), rel=1e-12)
