"""The real spherical-harmonic transform: analysis, synthesis, and what derivatives follow from it.

    f(φ, λ) = Σ_{l=0..T} Σ_{m=-l..l} α_lm P_lm(sin φ) e^{imλ},      α_{l,-m} = conj α_lm
    α_lm    = Σ_j w_j P_lm(μ_j) · (2π/n_lon) Σ_k f(φ_j, λ_k) e^{-imλ_k}

    ∇f = (1/a) (im f / cos φ, ∂f/∂φ)            ∇²: -l(l+1)/a²
    δ  = ∇·(u, v),   ζ = k·∇×(u, v),   u = (-∂ψ/∂φ + ∂χ/∂λ / cos φ)/a,  ζ = ∇²ψ,  δ = ∇²χ

Triangular truncation T. Coefficients are real tensors `[..., l, m, 2]`: real and imaginary part for
m >= 0. No complex tensor is made, so that networks which hold a transform export to ONNX. Tables
are made in float64 and follow the module's dtype. Orthonormal: ∫ f² dΩ = Σ_l P_l with
P_l = |α_l0|² + 2 Σ_{m>0} |α_lm|².
"""

from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import legendre
from sciml.calculus.sphere.grids import LatLon
from sciml.contracts import UserError


@final
class Harmonics(nn.Module):
    """Transforms between fields `[..., lat, lon]` and coefficients `[..., l, m, 2]`.

    Args:
        grid: gauss or equiangular.
        truncation: largest degree T; the largest that is exact on the grid where None.
        radius: a of the derivatives, in metres, or 1.

    Raises:
        UserError: the grid cannot resolve the truncation exactly.
    """

    def __init__(self, grid: LatLon, truncation: int | None = None, radius: float = 1.0) -> None:
        super().__init__()
        truncation = grid.exact_degree if truncation is None else truncation
        if not 0 < truncation <= grid.exact_degree:
            raise UserError(
                f"harmonics: expected a truncation of 1 to {grid.exact_degree}, which a "
                f"{grid.kind} grid of {grid.shape[0]} × {grid.shape[1]} resolves exactly, "
                f"got {truncation}"
            )
        self.grid, self.truncation, self.radius = grid, truncation, radius
        mu = np.sin(np.radians(grid.lat))
        m = np.arange(truncation + 1)
        angle = np.outer(np.radians(grid.lon), m)
        wave = np.stack([np.cos(angle), -np.sin(angle)], axis=-1)  # e^{-imλ} [lon, m, 2]
        twice = np.where(m == 0, 1.0, 2.0)[:, None]
        weights = grid.weights[:, None]
        plain = legendre.functions(mu, truncation)
        along = m[:, None, None] * legendre.functions(mu, truncation, divided=True)
        across = legendre.derivatives(mu, truncation)
        self._hold("to_waves", (wave * 2 * np.pi / len(grid.lon)).reshape(len(grid.lon), -1))
        self._hold("from_waves", (wave * twice).reshape(len(grid.lon), -1).T)
        for name, table in (("plain", plain), ("along", along), ("across", across)):
            self._hold(f"{name}_analysis", table * weights)
            self._hold(f"{name}_synthesis", table.transpose(0, 2, 1))
        l = np.arange(truncation + 1.0)
        self._hold("laplacian", -l * (l + 1) / radius**2)
        self._hold("inverse_laplacian", np.append([0.0], -(radius**2) / (l * (l + 1))[1:]))

    def _hold(self, name: str, table: np.ndarray) -> None:
        tensor = torch.from_numpy(np.ascontiguousarray(table)).to(torch.get_default_dtype())
        self.register_buffer(f"_{name}", tensor, persistent=False)

    # ---- scalars --------------------------------------------------------------------------------

    def analysis(self, f: Float[Tensor, "*b lat lon"]) -> Float[Tensor, "*b l m 2"]:
        """α of a field."""
        return self._into("plain", self._waves(f))

    def synthesis(self, alpha: Float[Tensor, "*b l m 2"]) -> Float[Tensor, "*b lat lon"]:
        """The field of α."""
        return self._field(self._from("plain", alpha))

    def project(self, f: Float[Tensor, "*b lat lon"]) -> Float[Tensor, "*b lat lon"]:
        """The part of a field that the truncation holds."""
        return self.synthesis(self.analysis(f))

    # ---- vectors --------------------------------------------------------------------------------

    def gradient(
        self, alpha: Float[Tensor, "*b l m 2"]
    ) -> tuple[Float[Tensor, "*b lat lon"], Float[Tensor, "*b lat lon"]]:
        """(eastward, northward) derivative of the field of α, per unit of the radius."""
        east = turned(self._from("along", alpha))
        return self._field(east) / self.radius, self._field(
            self._from("across", alpha)
        ) / self.radius

    def vorticity_divergence(
        self, u: Float[Tensor, "*b lat lon"], v: Float[Tensor, "*b lat lon"]
    ) -> tuple[Float[Tensor, "*b l m 2"], Float[Tensor, "*b l m 2"]]:
        """Coefficients of ζ and δ of a vector field, integrated by parts: exact on the grid."""
        u, v = self._waves(u), self._waves(v)
        vorticity = turned(self._into("along", v)) + self._into("across", u)
        divergence = turned(self._into("along", u)) - self._into("across", v)
        return vorticity / self.radius, divergence / self.radius

    def wind(
        self, vorticity: Float[Tensor, "*b l m 2"], divergence: Float[Tensor, "*b l m 2"]
    ) -> tuple[Float[Tensor, "*b lat lon"], Float[Tensor, "*b lat lon"]]:
        """(u, v) with these ζ and δ."""
        inverse = self._inverse_laplacian[:, None, None] / self.radius
        psi, chi = inverse * vorticity, inverse * divergence
        u = turned(self._from("along", chi)) - self._from("across", psi)
        v = turned(self._from("along", psi)) + self._from("across", chi)
        return self._field(u), self._field(v)

    def laplacian(self, alpha: Float[Tensor, "*b l m 2"]) -> Float[Tensor, "*b l m 2"]:
        """∇²."""
        return self._laplacian[:, None, None] * alpha

    def inverse_laplacian(self, alpha: Float[Tensor, "*b l m 2"]) -> Float[Tensor, "*b l m 2"]:
        """∇⁻², zero for l = 0."""
        return self._inverse_laplacian[:, None, None] * alpha

    # ---- the two halves of a transform ----------------------------------------------------------

    def _waves(self, f: Tensor) -> Tensor:
        """Fourier coefficients `[..., lat, m, 2]` along the circles."""
        return (f @ self._to_waves).unflatten(-1, (-1, 2))

    def _field(self, waves: Tensor) -> Tensor:
        return waves.flatten(-2) @ self._from_waves

    def _into(self, table: str, waves: Tensor) -> Tensor:
        return _along_meridians(waves, getattr(self, f"_{table}_analysis"))

    def _from(self, table: str, alpha: Tensor) -> Tensor:
        return _along_meridians(alpha, getattr(self, f"_{table}_synthesis"))


def turned(alpha: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
    """i α."""
    real, imaginary = alpha.unbind(-1)
    return torch.stack([-imaginary, real], dim=-1)


def _along_meridians(x: Tensor, table: Tensor) -> Tensor:
    """Σ_a x[..., a, m, r] table[m, a, b] → `[..., b, m, r]`: one matrix product per m."""
    batch, m = x.shape[:-3], x.shape[-2]
    columns = x.movedim(-2, 0).movedim(-1, -2).reshape(m, -1, x.shape[-3])  # [m, (b, 2), a]
    out = torch.bmm(columns, table).reshape(m, *batch, 2, table.shape[-1])
    return out.movedim(0, -1).movedim(-3, -1)
