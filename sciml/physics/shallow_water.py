"""The shallow-water equations on the rotating sphere, in vorticity and divergence.

    ∂ζ/∂t = -∇·(η v)                             η = ζ + f
    ∂δ/∂t = k·∇×(η v) - ∇²(Φ + E)                E = ½ |v|²
    ∂Φ/∂t = -∇·(Φ v)      = -Φ̄ δ - ∇·(φ v)       φ = Φ - Φ̄

    symbol   meaning                                                        unit
    v        wind, u to the east, v to the north                            m s⁻¹
    ζ        vorticity k·∇×v, positive anticlockwise seen from above        s⁻¹
    δ        divergence ∇·v                                                 s⁻¹
    Φ        geopotential g h of the free surface over a flat bottom        m² s⁻²
    Φ̄        a constant near its mean; splits off the linear gravity waves  m² s⁻²
    f        2 Ω sin φ                                                      s⁻¹
    a        radius of the sphere                                           m

The state is one tensor of spherical-harmonic coefficients `[b, 3, l, m, 2]`: ζ, δ, Φ. Products
are formed on the grid; on a grid that is exact for products of two resolved fields nothing aliases.

Linear waves on a fluid at rest without rotation: ω² = l(l+1) Φ̄/a².

Conserved without forcing, per unit of the sphere's area over 4π (means of the grid's areas):

    mass               Φ                                exactly
    energy             ½ Φ |v|² + ½ Φ²                  by the continuous equations
    angular momentum   Φ a cos φ (u + Ω a cos φ)        by the continuous equations
    enstrophy          ½ η²/Φ                           by the continuous equations

Source: D. L. Williamson et al., J. Comput. Phys. 102 (1992) 211-224, equations 2-19 and section 4
(invariants: equations 139-141); J. J. Hack, R. Jakob, NCAR Tech. Note TN-343 (1992), section 2.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from sciml.calculus.sphere import Harmonics
from sciml.physics.earth import OMEGA, RADIUS

VORTICITY, DIVERGENCE, GEOPOTENTIAL = range(3)


def nonlinear(
    x: Float[Tensor, "b 3 l m 2"], harmonics: Harmonics, f: Tensor, mean: float
) -> Float[Tensor, "b 3 l m 2"]:
    """∂x/∂t without the linear gravity waves: -∇·(η v), k·∇×(η v) - ∇²E, -∇·(φ v).

    Args:
        x: ζ, δ, Φ.
        f: `[lat, 1]`, s⁻¹.
        mean: Φ̄, m² s⁻².
    """
    u, v = harmonics.wind(x[:, VORTICITY], x[:, DIVERGENCE])
    zeta, Phi = harmonics.synthesis(x[:, [VORTICITY, GEOPOTENTIAL]]).unbind(1)
    carried = torch.stack([zeta + f, Phi - mean], 1)
    curl, div = harmonics.vorticity_divergence(carried * u[:, None], carried * v[:, None])
    E = harmonics.analysis((u * u + v * v) / 2)
    return torch.stack([-div[:, 0], curl[:, 0] - harmonics.laplacian(E), -div[:, 1]], 1)


def gravity_waves(
    x: Float[Tensor, "b 3 l m 2"], harmonics: Harmonics, mean: float
) -> Float[Tensor, "b 3 l m 2"]:
    """The linear rest of ∂x/∂t: 0, -∇²Φ, -Φ̄ δ."""
    zeta, delta, Phi = x.unbind(1)
    return torch.stack([torch.zeros_like(zeta), -harmonics.laplacian(Phi), -mean * delta], 1)


def balanced_geopotential(
    zeta: Float[Tensor, "*b l m 2"], harmonics: Harmonics, f: Tensor, mean: float
) -> Float[Tensor, "*b l m 2"]:
    """Φ = Φ̄ + ∇⁻² k·∇×(η v) - E of a flow without divergence: ∂δ/∂t = 0 (nonlinear balance)."""
    u, v = harmonics.wind(zeta, torch.zeros_like(zeta))
    eta = harmonics.synthesis(zeta) + f
    curl, _ = harmonics.vorticity_divergence(eta * u, eta * v)
    Phi = harmonics.inverse_laplacian(curl) - harmonics.analysis((u * u + v * v) / 2)
    Phi[..., 0, 0, :] = constant(mean, Phi)
    return Phi


def constant(value: float, like: Tensor) -> Tensor:
    """The coefficient `[2]` of l = m = 0 of a field that is `value` everywhere: √4π value."""
    return like.new_tensor([value * (4 * torch.pi) ** 0.5, 0.0])


def mass(Phi: Tensor, area: Tensor) -> Tensor:
    """Mean of Φ `[..., lat, lon]` with the cells' shares `[lat, lon]`, m² s⁻²."""
    return (Phi * area).sum((-2, -1))


def energy(Phi: Tensor, u: Tensor, v: Tensor, area: Tensor) -> Tensor:
    """Mean of ½ Φ (u² + v²) + ½ Φ², m⁴ s⁻⁴."""
    return ((Phi * (u * u + v * v) + Phi * Phi) / 2 * area).sum((-2, -1))


def angular_momentum(Phi: Tensor, u: Tensor, cosine: Tensor, area: Tensor) -> Tensor:
    """Mean of Φ a cos φ (u + Ω a cos φ), m⁴ s⁻³; `cosine` is cos φ `[lat, 1]`."""
    return (Phi * RADIUS * cosine * (u + OMEGA * RADIUS * cosine) * area).sum((-2, -1))


def enstrophy(eta: Tensor, Phi: Tensor, area: Tensor) -> Tensor:
    """Mean of ½ η²/Φ, m⁻²."""
    return (eta * eta / Phi / 2 * area).sum((-2, -1))
