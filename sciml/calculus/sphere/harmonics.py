"""The real spherical-harmonic transform: analysis, synthesis, and what derivatives follow from it.

    f(φ, λ) = Σ_{l=0..T} Σ_{m=-l..l} α_lm P_lm(sin φ) e^{imλ},      α_{l,-m} = conj α_lm
    α_lm    = Σ_j w_j P_lm(μ_j) · (2π/n_j) Σ_k f(φ_j, λ_k) e^{-imλ_k}

    ∇f = (1/a) (im f / cos φ, ∂f/∂φ)            ∇²: -l(l+1)/a²
    δ  = ∇·(u, v),   ζ = k·∇×(u, v),   u = (-∂ψ/∂φ + ∂χ/∂λ / cos φ)/a,  ζ = ∇²ψ,  δ = ∇²χ

Triangular truncation T. Coefficients are real tensors `[..., l, m, 2]`: real and imaginary part for
m >= 0. No complex tensor is made, so that networks which hold a transform export to ONNX. Tables
are made in float64 and follow the module's dtype. Orthonormal: ∫ f² dΩ = Σ_l P_l with
P_l = |α_l0|² + 2 Σ_{m>0} |α_lm|².
"""

from functools import partial
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.calculus.sphere import fourier, legendre
from sciml.calculus.sphere.grids import LatLon
from sciml.calculus.sphere.reduced import ReducedGaussian
from sciml.calculus.sphere.tables import Tables
from sciml.contracts import UserError


@final
class Harmonics(nn.Module):
    """Transforms between fields `[..., *grid]` and coefficients `[..., l, m, 2]`.

    Args:
        grid: gauss, equiangular or reduced Gaussian; fields are `[..., lat, lon]` or `[..., cell]`.
        truncation: largest degree T; the largest that is exact on the grid where None.
        radius: a of the derivatives, in metres, or 1.

    Raises:
        UserError: the grid cannot resolve the truncation exactly; a field of another grid.
    """

    def __init__(
        self,
        grid: LatLon | ReducedGaussian,
        truncation: int | None = None,
        radius: float = 1.0,
    ) -> None:
        super().__init__()
        truncation = grid.exact_degree if truncation is None else truncation
        _check(grid, truncation)
        self.grid, self.truncation, self.radius = grid, truncation, radius
        self.circles = fourier.circles(grid, truncation)
        self.tables = Tables(partial(_meridians, grid, truncation, radius))

    # ---- scalars --------------------------------------------------------------------------------

    def analysis(self, f: Float[Tensor, "*field"]) -> Float[Tensor, "*b l m 2"]:
        """α of a field."""
        batch, waves = self._waves(f)
        return _coefficients(self._into("plain", waves), batch)

    def synthesis(self, alpha: Float[Tensor, "*b l m 2"]) -> Float[Tensor, "*field"]:
        """The field of α."""
        batch, columns = self._columns(alpha)
        return self._field(self._from("plain", columns), batch)

    def project(self, f: Float[Tensor, "*field"]) -> Float[Tensor, "*field"]:
        """The part of a field that the truncation holds."""
        return self.synthesis(self.analysis(f))

    # ---- vectors --------------------------------------------------------------------------------

    def gradient(
        self, alpha: Float[Tensor, "*b l m 2"]
    ) -> tuple[Float[Tensor, "*field"], Float[Tensor, "*field"]]:
        """(eastward, northward) derivative of the field of α, per unit of the radius."""
        batch, columns = self._columns(alpha)
        columns = columns / self.radius
        east, north = turned(self._from("along", columns)), self._from("across", columns)
        return self._field(east, batch), self._field(north, batch)

    def vorticity_divergence(
        self, u: Float[Tensor, "*field"], v: Float[Tensor, "*field"]
    ) -> tuple[Float[Tensor, "*b l m 2"], Float[Tensor, "*b l m 2"]]:
        """Coefficients of ζ and δ of a vector field, integrated by parts: exact on the grid."""
        (batch, u), (_, v) = self._waves(u / self.radius), self._waves(v / self.radius)
        vorticity = turned(self._into("along", v)) + self._into("across", u)
        divergence = turned(self._into("along", u)) - self._into("across", v)
        return _coefficients(vorticity, batch), _coefficients(divergence, batch)

    def wind(
        self, vorticity: Float[Tensor, "*b l m 2"], divergence: Float[Tensor, "*b l m 2"]
    ) -> tuple[Float[Tensor, "*field"], Float[Tensor, "*field"]]:
        """(u, v) with these ζ and δ."""
        inverse = self.tables.inverse_laplacian / self.radius
        (batch, psi), (_, chi) = self._columns(vorticity), self._columns(divergence)
        psi, chi = inverse * psi, inverse * chi
        u = turned(self._from("along", chi)) - self._from("across", psi)
        v = turned(self._from("along", psi)) + self._from("across", chi)
        return self._field(u, batch), self._field(v, batch)

    def laplacian(self, alpha: Float[Tensor, "*b l m 2"]) -> Float[Tensor, "*b l m 2"]:
        """∇²."""
        return self.tables.laplacian[:, None, None] * alpha

    def inverse_laplacian(self, alpha: Float[Tensor, "*b l m 2"]) -> Float[Tensor, "*b l m 2"]:
        """∇⁻², zero for l = 0."""
        return self.tables.inverse_laplacian[:, None, None] * alpha

    # ---- the two halves of a transform: waves [m, 2, n, lat], columns [m, 2, n, l] ---------------

    def _waves(self, f: Tensor) -> tuple[torch.Size, Tensor]:
        """Shape of the batch and Fourier coefficients along the circles, weighted."""
        batch = _batch(f, self.grid.shape)
        return batch, self.circles.waves(f.reshape(-1, *self.grid.shape)) * self.tables.weights

    def _field(self, waves: Tensor, batch: torch.Size) -> Tensor:
        return self.circles.field(waves).reshape(*batch, *self.grid.shape)

    def _into(self, table: str, waves: Tensor) -> Tensor:
        return _along_meridians(waves, getattr(self.tables, table))

    def _from(self, table: str, columns: Tensor) -> Tensor:
        return _along_meridians(columns, getattr(self.tables, table).mT)

    def _columns(self, alpha: Tensor) -> tuple[torch.Size, Tensor]:
        shape = self.truncation + 1, self.truncation + 1, 2
        batch = _batch(alpha, shape)
        return batch, alpha.reshape(-1, *shape).permute(2, 3, 0, 1)


def turned(waves: Tensor) -> Tensor:
    """i times waves or columns `[m, 2, …]`."""
    real, imaginary = waves.unbind(1)
    return torch.stack([-imaginary, real], 1)


def _along_meridians(x: Tensor, table: Tensor) -> Tensor:
    """Σ_a x[m, r, n, a] table[m, a, b] → `[m, r, n, b]`."""
    return torch.bmm(x.flatten(1, 2), table).view(*x.shape[:3], table.shape[2])


def _coefficients(columns: Tensor, batch: torch.Size) -> Tensor:
    alpha = columns.permute(2, 3, 0, 1)
    return alpha.reshape(*batch, *alpha.shape[1:])


def _batch(x: Tensor, shape: tuple[int, ...]) -> torch.Size:
    """What stands before `shape`."""
    if tuple(x.shape[-len(shape) :]) != tuple(shape):
        raise UserError(
            f"harmonics: expected tensors of [..., {', '.join(map(str, shape))}], got "
            f"{list(x.shape)}; give the harmonics of the field's own grid and truncation"
        )
    return x.shape[: -len(shape)]


def _check(grid: LatLon | ReducedGaussian, truncation: int) -> None:
    if grid.exact_degree < 1:
        raise UserError(
            "harmonics: expected a whole Gaussian or equiangular grid, where sums over points are "
            f"exact integrals, got latitudes of kind {grid.kind!r}; regrid"
        )
    if not 0 < truncation <= grid.exact_degree:
        raise UserError(
            f"harmonics: expected a truncation of 1 to {grid.exact_degree}, which a {grid.kind} "
            f"grid of {' × '.join(map(str, grid.shape))} resolves exactly, got {truncation}"
        )


def _meridians(
    grid: LatLon | ReducedGaussian, truncation: int, radius: float
) -> dict[str, np.ndarray]:
    """Legendre functions `[m, lat, l]`: themselves, m times them over cos φ, their derivatives."""
    lat = grid.nodes[0] if isinstance(grid, LatLon) else grid.lat
    phi, l = np.radians(lat), np.arange(truncation + 1.0)
    eigenvalues = -l * (l + 1) / radius**2
    inverse = np.divide(1, eigenvalues, where=l > 0, out=np.zeros_like(l))
    return {
        "weights": grid.weights,
        "plain": legendre.functions(phi, truncation),
        "along": l[:, None, None] * legendre.functions(phi, truncation, divided=True),
        "across": legendre.derivatives(phi, truncation),
        "laplacian": eigenvalues,
        "inverse_laplacian": inverse,
    }
