"""Hyperelastic solids: derivatives against torch.func, small strains, objectivity, exact laws."""

import pytest
import torch
from torch.func import grad, jacfwd, vmap

from sciml.physics import hyperelasticity as laws

MU, LAM = torch.tensor(7.0).double(), torch.tensor(19.0).double()
KAPPA = LAM + 2 * MU / 3


def of(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


SOLIDS = {
    "linear": laws.Linear(MU, LAM),
    "St. Venant-Kirchhoff": laws.Isotropic(laws.StVenantKirchhoff(MU, LAM)),
    "neo-Hookean": laws.Isotropic(laws.NeoHookean(MU, LAM)),
    "stable neo-Hookean": laws.Isotropic(laws.StableNeoHookean(MU, LAM)),
    "Mooney-Rivlin": laws.Isotropic(laws.MooneyRivlin(of(2.5), of(1.0), KAPPA)),
    "Yeoh": laws.Isotropic(laws.Yeoh(of(3.5), of(-0.8), of(0.3), KAPPA)),
}
FINITE = [name for name in SOLIDS if name != "linear"]


@pytest.fixture
def F() -> torch.Tensor:
    draw = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    F = torch.eye(3) + 0.2 * draw
    assert torch.linalg.det(F).min() > 0.1
    return F


def each(function, F: torch.Tensor) -> torch.Tensor:
    return vmap(vmap(function))(F)


@pytest.mark.parametrize("name", SOLIDS)
def test_stress_is_the_slope_of_the_energy(name: str, F: torch.Tensor) -> None:
    solid = SOLIDS[name]
    torch.testing.assert_close(solid.stress(F), each(grad(solid.energy), F), rtol=1e-12, atol=1e-12)
    energy, stress = solid.energy_and_stress(F)
    assert torch.equal(energy, solid.energy(F)) and torch.equal(stress, solid.stress(F))


@pytest.mark.parametrize("name", SOLIDS)
def test_tangent_is_the_slope_of_the_stress(name: str, F: torch.Tensor) -> None:
    solid = SOLIDS[name]
    scale = torch.linspace(0.5, 1.5, 5).double()
    found = laws.full(solid.tangent(F, scale), F)
    wanted = each(jacfwd(grad(solid.energy)), F) * scale[:, None, None, None, None]
    torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(found, found.permute(0, 1, 4, 5, 2, 3), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", SOLIDS)
def test_small_strains_see_hookes_law(name: str) -> None:
    rest = torch.eye(3).double()[None]
    found = laws.full(SOLIDS[name].tangent(rest, of(1.0)), rest)
    wanted = laws.full(SOLIDS["linear"].tangent(rest, of(1.0)), rest)
    torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-13)
    assert SOLIDS[name].energy(rest).abs().max() < 1e-14
    assert SOLIDS[name].stress(rest).abs().max() < 1e-14


@pytest.mark.parametrize("name", FINITE)
def test_a_rotation_changes_no_energy_and_turns_the_stress(name: str, F: torch.Tensor) -> None:
    solid, (Q, _) = SOLIDS[name], torch.linalg.qr(F[0, 0])
    Q = Q * torch.linalg.det(Q)
    # ψ(QF) = ψ(F), P(QF) = Q P(F); isotropy: ψ(FQ) = ψ(F)
    psi = solid.energy(F)
    torch.testing.assert_close(solid.energy(Q @ F), psi, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(solid.energy(F @ Q), psi, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(solid.stress(Q @ F), Q @ solid.stress(F), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("stretch", [0.7, 1.3])
def test_plane_stress_free_uniaxial_neo_hookean(stretch: float) -> None:
    """μ(t² - 1) + λ ln J = 0 with J = s t² leaves P = (μ(s² - 1) + λ ln J)/s alone."""
    lo, hi = 0.3, 3.0
    for _ in range(200):
        t = (lo + hi) / 2
        lo, hi = (t, hi) if MU * (t * t - 1) + LAM * of(stretch * t * t).log() < 0 else (lo, t)
    F = torch.diag(torch.stack([of(stretch), of(t), of(t)]))
    P = SOLIDS["neo-Hookean"].stress(F)
    axial = (MU * (stretch**2 - 1) + LAM * of(stretch * t * t).log()) / stretch
    torch.testing.assert_close(
        P, torch.diag(torch.stack([axial, of(0.0), of(0.0)])), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("name", ["neo-Hookean", "Mooney-Rivlin", "Yeoh"])
def test_incompressible_uniaxial_equibiaxial_and_shear(name: str) -> None:
    """At J = 1 a pressure is free: differences of P are those of the incompressible laws.

    With W1 = ∂W/∂I1, W2 = ∂W/∂I2:  uniaxial      2 (s - s⁻²)(W1 + W2/s)
                                    equibiaxial   2 (s - s⁻⁵)(W1 + W2 s²)
                                    shear         2 γ (W1 + W2)
    """
    s, gamma = 1.2, 0.6

    def weights(I1: float) -> tuple[float, float]:
        e = I1 - 3
        yeoh = 3.5 - 1.6 * e + 0.9 * e * e
        return {"neo-Hookean": (3.5, 0.0), "Mooney-Rivlin": (2.5, 1.0), "Yeoh": (yeoh, 0.0)}[name]

    solid = SOLIDS[name]
    W1, W2 = weights(s**2 + 2 / s)
    t = of(s) ** -0.5
    F = torch.diag(torch.stack([of(s), t, t]))
    P = solid.stress(F)
    free = P[0, 0] - P[1, 1] * t / s  # the pressure that frees the sides: p = P_11 t
    assert free == pytest.approx(2 * (s - s**-2) * (W1 + W2 / s), rel=1e-12)

    W1, W2 = weights(2 * s**2 + s**-4)
    F = torch.diag(torch.stack([of(s), of(s), of(s) ** -2]))
    P = solid.stress(F)
    free = P[0, 0] - P[2, 2] * s**-2 / s
    assert free == pytest.approx(2 * (s - s**-5) * (W1 + W2 * s**2), rel=1e-12)

    W1, W2 = weights(3 + gamma**2)
    F = torch.eye(3).double()
    F[0, 1] = gamma
    P = solid.stress(F)
    assert (P @ F.T)[0, 1] == pytest.approx(2 * gamma * (W1 + W2), rel=1e-12)


def test_the_stable_law_survives_inversion() -> None:
    F = torch.diag(torch.tensor([-0.5, 1.0, 1.2])).double()
    assert SOLIDS["stable neo-Hookean"].energy(F).isfinite()
    assert SOLIDS["neo-Hookean"].energy(F).isnan()


def test_moduli_there_and_back() -> None:
    E, nu = of(2e5), of(0.45)
    mu, lam = laws.lame(E, nu)
    torch.testing.assert_close(laws.young_poisson(mu, lam), (E, nu))
    torch.testing.assert_close(laws.bulk_modulus(mu, nu), lam + 2 * mu / 3)
    torch.testing.assert_close(laws.bulk_modulus(mu, nu), E / (3 * (1 - 2 * nu)))
