"""Strain-energy functions W(I1, I2, J) of isotropic solids; Ī1 = J^(-2/3) I1, Ī2 = J^(-4/3) I2.

    St. Venant-Kirchhoff   λ/8 (I1 - 3)² + μ/4 (I1² - 2 I2 - 2 I1 + 3)
    neo-Hookean            μ/2 (I1 - 3) - μ ln J + λ/2 (ln J)²
    stable neo-Hookean     m/2 (I1 - 3 - ln((I1 + 1)/4)) + l/2 ((J - α)² - (1 - α)²)
                           m = 4μ/3,  l = λ + 5μ/6,  α = 1 + 3m/(4l)
    Mooney-Rivlin          c10 (Ī1 - 3) + c01 (Ī2 - 3) + κ/2 (J - 1)²            μ = 2(c10 + c01)
    Yeoh                   Σ_k c_k (Ī1 - 3)^k + κ/2 (J - 1)²,  k = 1 … 3         μ = 2 c1

St. Venant-Kirchhoff is λ/2 (tr E)² + μ E:E of Green's strain E = ½(C - I); it softens and fails in
compression. The stable law alone is finite for J ≤ 0; the logarithm of the others is then NaN,
which a line search refuses. Its m and l are chosen so that small strains see μ and λ.

Source: J. Bonet, R. D. Wood (2008), §§ 6.4.2-6.4.3; B. Smith, F. de Goes, T. Kim, Stable
neo-Hookean flesh simulation, ACM Trans. Graph. 37 (2018) 12, equations 14 and 16 and § 3.4;
R. S. Rivlin, D. W. Saunders, Phil. Trans. A 243 (1951) 251-288; O. H. Yeoh, Rubber Chem. Technol.
66 (1993) 754-771.
"""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from sciml.physics.hyperelasticity.invariants import Invariants
from sciml.physics.hyperelasticity.tangent import Curvatures


@final
@dataclass(frozen=True)
class StVenantKirchhoff:
    """Lamé's constants `mu`, `lam`, Pa."""

    mu: Tensor
    lam: Tensor

    def energy(self, at: Invariants) -> Tensor:
        I1, I2, _ = at
        shape = I1 * I1 - 2 * I2 - 2 * I1 + 3
        return self.lam / 8 * (I1 - 3) ** 2 + self.mu / 4 * shape

    def slopes(self, at: Invariants) -> tuple[Tensor, Tensor, None]:
        mu = self.mu.expand(at.I1.shape)
        return self.lam / 4 * (at.I1 - 3) + mu / 2 * (at.I1 - 1), -mu / 2, None

    def curvatures(self, at: Invariants) -> Curvatures:
        W1, W2, _ = self.slopes(at)
        return Curvatures(W1, W2, W11=(self.lam / 4 + self.mu / 2).expand(at.I1.shape))


@final
@dataclass(frozen=True)
class NeoHookean:
    """Lamé's constants `mu`, `lam`, Pa."""

    mu: Tensor
    lam: Tensor

    def energy(self, at: Invariants) -> Tensor:
        log = at.J.log()
        return self.mu * ((at.I1 - 3) / 2 - log) + self.lam / 2 * log**2

    def slopes(self, at: Invariants) -> tuple[Tensor, None, Tensor]:
        return (self.mu / 2).expand(at.J.shape), None, (self.lam * at.J.log() - self.mu) / at.J

    def curvatures(self, at: Invariants) -> Curvatures:
        W1, _, WJ = self.slopes(at)
        return Curvatures(W1, WJ=WJ, WJJ=(self.lam / at.J - WJ) / at.J)


@final
@dataclass(frozen=True)
class StableNeoHookean:
    """Lamé's constants of small strains `mu`, `lam`, Pa; with λ ≥ -5μ/6.

    Written with l (1 - α) = -μ, so that l may vanish.
    """

    mu: Tensor
    lam: Tensor

    def _own(self) -> tuple[Tensor, Tensor]:
        return 4 * self.mu / 3, self.lam + 5 * self.mu / 6

    def energy(self, at: Invariants) -> Tensor:
        m, l = self._own()
        shape = m / 2 * (at.I1 - 3 - ((at.I1 + 1) / 4).log())
        return shape + (at.J - 1) * (l / 2 * (at.J - 1) - self.mu)

    def slopes(self, at: Invariants) -> tuple[Tensor, None, Tensor]:
        m, l = self._own()
        return m / 2 * (1 - 1 / (at.I1 + 1)), None, l * (at.J - 1) - self.mu

    def curvatures(self, at: Invariants) -> Curvatures:
        m, l = self._own()
        W1, _, WJ = self.slopes(at)
        return Curvatures(W1, WJ=WJ, W11=m / 2 / (at.I1 + 1) ** 2, WJJ=l.expand(at.J.shape))


@final
@dataclass(frozen=True)
class MooneyRivlin:
    """`c10`, `c01` and the bulk modulus `kappa`, Pa."""

    c10: Tensor
    c01: Tensor
    kappa: Tensor

    def energy(self, at: Invariants) -> Tensor:
        I1, I2, J = at
        shape = self.c10 * (I1 * J ** (-2 / 3) - 3) + self.c01 * (I2 * J ** (-4 / 3) - 3)
        return shape + self.kappa / 2 * (J - 1) ** 2

    def slopes(self, at: Invariants) -> tuple[Tensor, Tensor, Tensor]:
        I1, I2, J = at
        W1, W2 = self.c10 * J ** (-2 / 3), self.c01 * J ** (-4 / 3)
        return W1, W2, self.kappa * (J - 1) - (2 * W1 * I1 + 4 * W2 * I2) / (3 * J)

    def curvatures(self, at: Invariants) -> Curvatures:
        I1, I2, J = at
        W1, W2, WJ = self.slopes(at)
        WJJ = self.kappa + (10 * W1 * I1 + 28 * W2 * I2) / (9 * J * J)
        return Curvatures(W1, W2, WJ, WJJ=WJJ, W1J=-2 * W1 / (3 * J), W2J=-4 * W2 / (3 * J))


@final
@dataclass(frozen=True)
class Yeoh:
    """`c1` > 0, `c2`, `c3` and the bulk modulus `kappa`, Pa."""

    c1: Tensor
    c2: Tensor
    c3: Tensor
    kappa: Tensor

    def energy(self, at: Invariants) -> Tensor:
        e = at.I1 * at.J ** (-2 / 3) - 3
        return e * (self.c1 + e * (self.c2 + e * self.c3)) + self.kappa / 2 * (at.J - 1) ** 2

    def slopes(self, at: Invariants) -> tuple[Tensor, None, Tensor]:
        I1, _, J = at
        first, j = self._rates(at)[0], J ** (-2 / 3)
        return first * j, None, self.kappa * (J - 1) - 2 * first * j * I1 / (3 * J)

    def curvatures(self, at: Invariants) -> Curvatures:
        I1, _, J = at
        (first, second), j = self._rates(at), J ** (-2 / 3)
        W1, _, WJ = self.slopes(at)
        slope = -2 * j * I1 / (3 * J)  # ∂Ī1/∂J
        return Curvatures(
            W1,
            WJ=WJ,
            W11=second * j * j,
            W1J=second * j * slope - 2 * W1 / (3 * J),
            WJJ=self.kappa + second * slope**2 + first * 10 * j * I1 / (9 * J * J),
        )

    def _rates(self, at: Invariants) -> tuple[Tensor, Tensor]:
        """Σ c_k (Ī1 - 3)^k differentiated once and twice by Ī1."""
        e = at.I1 * at.J ** (-2 / 3) - 3
        return self.c1 + e * (2 * self.c2 + 3 * e * self.c3), 2 * self.c2 + 6 * e * self.c3
