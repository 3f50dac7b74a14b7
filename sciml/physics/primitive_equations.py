"""The dry primitive equations on σ levels: a shallow, hydrostatic gas on the rotating sphere.

    ∂ζ/∂t = k·∇×F                        F = -η k×v - σ̇ ∂v/∂σ - R T' ∇π,    η = ζ + f
    ∂δ/∂t = ∇·F - ∇²(Φ + E + R T̄ π)      E = ½ |v|²
    ∂T/∂t = -∇·(v T') + T' δ - σ̇ ∂T'/∂σ + κ T ω/p + heating
    ∂π/∂t = -∫₀¹ D dσ                    D = δ + v·∇π
    ∂Φ/∂ln σ = -R T                      Φ(σ = 1) = 0, a flat surface

    symbol   meaning                                                      unit
    σ        p/p_s, 0 at the top, 1 at the surface                        1
    v        wind, u to the east, v to the north                          m s⁻¹
    ζ, δ     vorticity and divergence of v on σ surfaces                  s⁻¹
    T        temperature, T = T̄ + T'                                      K
    T̄        a constant above what occurs; splits off the gravity waves   K
    π        ln(p_s/p₀), p₀ = 10⁵ Pa                                      1
    Φ        geopotential                                                 m² s⁻²
    σ̇        dσ/dt, positive downward; 0 at both ends                     s⁻¹
    ω        dp/dt                                                        Pa s⁻¹
    f        2 Ω sin φ                                                    s⁻¹
    R, κ     gas constant of dry air; R/c_p                               J kg⁻¹ K⁻¹; 1

Layer k lies between σ_{k-½} and σ_{k+½}, k = 1 … L from the top down, and has

    Δ_k = σ_{k+½} - σ_{k-½},   λ_k = ln(σ_{k+½}/σ_{k-½}),   α_k = 1 - λ_k σ_{k-½}/Δ_k   (α_1 = 1)

    Φ_k = R Σ_{j>k} λ_j T_j + α_k R T_k
    (ω/p)_k = v_k·∇π - (λ_k Σ_{j<k} D_j Δ_j + α_k D_k Δ_k)/Δ_k          (λ_1 = 0 here: no j < 1)
    σ̇_{k+½} = σ_{k+½} Σ_j D_j Δ_j - Σ_{j≤k} D_j Δ_j
    (σ̇ ∂X/∂σ)_k = [σ̇_{k+½} (X_{k+1} - X_k) + σ̇_{k-½} (X_k - X_{k-1})]/2Δ_k

which conserve, means over the sphere of p_s times the sum over layers of Δ_k times

    energy ½ |v|² + c_p T,      angular momentum a cos φ (u + Ω a cos φ),      mass 1

whatever the layers are. α_1 = 1 is the limit of the formula for σ_½ → 0: with it R T ∇π is exact in
every layer. T_k stands at ln σ_k = ln σ_{k+½} - α_k.

The state is one tensor of coefficients `[b, 3L+1, l, m, 2]`: ζ, δ, T' from the top down, and π.

Source: A. J. Simmons, D. M. Burridge, Mon. Wea. Rev. 109 (1981) 758-766, equations 2.1-2.7 and
3.1-3.18; B. J. Hoskins, A. J. Simmons, Quart. J. Roy. Met. Soc. 101 (1975) 637-655 (spectral form,
gravity waves apart).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sciml.calculus.sphere import Harmonics
from sciml.physics.earth import GAS_CONSTANT, KAPPA, OMEGA, RADIUS, SPECIFIC_HEAT

R = GAS_CONSTANT


@final
@dataclass(frozen=True, eq=False)
class Layers:
    """The layers' constants.

    Args:
        half: `[L+1]` σ_{k+½}, from 0 to 1, ascending.
    """

    half: np.ndarray

    @property
    def count(self) -> int:
        """L."""
        return len(self.half) - 1

    @cached_property
    def thickness(self) -> np.ndarray:
        """Δ `[L]`."""
        return np.diff(self.half)

    @cached_property
    def log_ratio(self) -> np.ndarray:
        """λ `[L]`; 0 for the top layer, where it multiplies nothing."""
        return np.append(0.0, np.log(self.half[2:] / self.half[1:-1]))

    @cached_property
    def alpha(self) -> np.ndarray:
        """α `[L]`."""
        return 1 - self.log_ratio * self.half[:-1] / self.thickness

    @cached_property
    def sigma(self) -> np.ndarray:
        """σ_k `[L]`, where T_k and v_k stand."""
        return self.half[1:] * np.exp(-self.alpha)

    @cached_property
    def hydrostatic(self) -> np.ndarray:
        """`[L, L]`: T → Φ."""
        return R * (np.triu(np.tile(self.log_ratio, (self.count, 1)), 1) + np.diag(self.alpha))

    @cached_property
    def conversion(self) -> np.ndarray:
        """`[L, L]`: D → the part of -ω/p that comes from convergence."""
        rows = (self.log_ratio / self.thickness)[:, None] * self.thickness
        return np.tril(rows, -1) + np.diag(self.alpha)

    @cached_property
    def descent(self) -> np.ndarray:
        """`[L-1, L]`: D → σ̇ at the inner half levels."""
        below = np.tril(np.ones((self.count - 1, self.count)))
        return (self.half[1:-1, None] - below) * self.thickness

    def tensor(self, name: str, like: Tensor) -> Tensor:
        """One of the arrays in the precision and on the device of another tensor."""
        return torch.as_tensor(np.array(getattr(self, name)), dtype=like.dtype, device=like.device)


def equal_layers(count: int) -> Layers:
    """Layers of equal mass."""
    return Layers(np.linspace(0.0, 1.0, count + 1))


def parts(
    x: Float[Tensor, "b c l m 2"],
) -> tuple[
    Float[Tensor, "b k l m 2"],
    Float[Tensor, "b k l m 2"],
    Float[Tensor, "b k l m 2"],
    Float[Tensor, "b l m 2"],
]:
    """ζ, δ, T', π."""
    count = x.shape[1] // 3
    zeta, delta, temperature, pi = x.split([count, count, count, 1], 1)
    return zeta, delta, temperature, pi[:, 0]


@final
@dataclass(frozen=True)
class OnGrid:
    """What products are formed of, on the grid: u, v, ζ, δ, T' `[b, k, lat, lon]` and π, ∇π."""

    u: Tensor
    v: Tensor
    zeta: Tensor
    delta: Tensor
    temperature: Tensor
    pi: Tensor
    pi_x: Tensor
    pi_y: Tensor


def on_grid(x: Float[Tensor, "b c l m 2"], harmonics: Harmonics) -> OnGrid:
    """The state and its winds on the grid of the harmonics."""
    count = x.shape[1] // 3
    zeta, delta, _, pi = parts(x)
    u, v = harmonics.wind(zeta, delta)
    plain = harmonics.synthesis(x)
    zeta, delta, temperature, _ = plain.split([count, count, count, 1], 1)
    pi_x, pi_y = harmonics.gradient(pi)
    return OnGrid(u, v, zeta, delta, temperature, plain[:, -1], pi_x, pi_y)


def over_layers(matrix: Tensor, X: Float[Tensor, "b k *s"]) -> Float[Tensor, "b n *s"]:
    """Σ_k matrix[n, k] X_k."""
    return torch.matmul(matrix, X.flatten(2)).unflatten(2, X.shape[2:])


def advected_vertically(
    descent: Float[Tensor, "b h lat lon"], X: Float[Tensor, "b k lat lon"], thickness: Tensor
) -> Float[Tensor, "b k lat lon"]:
    """σ̇ ∂X/∂σ from σ̇ at the L - 1 inner half levels."""
    flux = descent * X.diff(dim=1)
    zero = torch.zeros_like(X[:, :1])
    return (torch.cat([flux, zero], 1) + torch.cat([zero, flux], 1)) / (2 * thickness)


def nonlinear(
    x: Float[Tensor, "b c l m 2"],
    harmonics: Harmonics,
    layers: Layers,
    f: Tensor,
    mean: float,
    heating: Callable[[OnGrid], Tensor] | None = None,
) -> Float[Tensor, "b c l m 2"]:
    """∂x/∂t without the linear gravity waves.

    Args:
        x: ζ, δ, T', π.
        f: `[lat, 1]`, s⁻¹.
        mean: T̄, K.
        heating: ∂T/∂t `[b, k, lat, lon]` of the state on the grid, K s⁻¹.
    """
    g = on_grid(x, harmonics)
    F, Q, pi_t = products(g, layers, f, mean)
    Q = Q if heating is None else Q + heating(g)
    count = layers.count
    curl, div = harmonics.vorticity_divergence(
        torch.cat([F[0], g.u * g.temperature], 1), torch.cat([F[1], g.v * g.temperature], 1)
    )
    E = (g.u * g.u + g.v * g.v) / 2
    E, Q, pi_t = harmonics.analysis(torch.cat([E, Q, pi_t], 1)).split([count, count, 1], 1)
    delta_t = div[:, :count] - harmonics.laplacian(E)
    return torch.cat([curl[:, :count], delta_t, Q - div[:, count:], pi_t], 1)


def products(
    g: OnGrid, layers: Layers, f: Tensor, mean: float
) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """F, the terms of ∂T/∂t without divergence form, and -Σ v·∇π Δ, on the grid."""
    thickness = layers.tensor("thickness", g.u)[:, None, None]
    conversion = layers.tensor("conversion", g.u)
    pi_x, pi_y = g.pi_x[:, None], g.pi_y[:, None]
    advected = g.u * pi_x + g.v * pi_y  # v·∇π
    D = g.delta + advected
    descent = over_layers(layers.tensor("descent", g.u), D)
    omega = advected - over_layers(conversion, D)  # ω/p
    omega_slow = advected - over_layers(conversion, advected)  # without what L has: δ
    T = g.temperature
    eta = g.zeta + f
    F_x = eta * g.v - advected_vertically(descent, g.u, thickness) - R * T * pi_x
    F_y = -eta * g.u - advected_vertically(descent, g.v, thickness) - R * T * pi_y
    Q = T * g.delta - advected_vertically(descent, T, thickness)
    Q = Q + KAPPA * (T * omega + mean * omega_slow)
    return (F_x, F_y), Q, -(advected * thickness).sum(1, keepdim=True)


def gravity_waves(
    x: Float[Tensor, "b c l m 2"], harmonics: Harmonics, layers: Layers, mean: float
) -> Float[Tensor, "b c l m 2"]:
    """The linear rest: 0, -∇²(Φ(T') + R T̄ π), -κ T̄ (conversion of δ), -Σ δ Δ."""
    zeta, delta, T, pi = parts(x)
    height = over_layers(layers.tensor("hydrostatic", x), T) + R * mean * pi[:, None]
    warming = -KAPPA * mean * over_layers(layers.tensor("conversion", x), delta)
    pi_t = -over_layers(layers.tensor("thickness", x)[None], delta)
    return torch.cat([torch.zeros_like(zeta), -harmonics.laplacian(height), warming, pi_t], 1)


def balanced_temperature(
    zeta: Float[Tensor, "b k l m 2"], harmonics: Harmonics, layers: Layers, f: Tensor
) -> Float[Tensor, "b k l m 2"]:
    """T of a flow without divergence over a surface of equal pressure: ∂δ/∂t = 0 in every layer.

    Its mean over each layer is zero.
    """
    u, v = harmonics.wind(zeta, torch.zeros_like(zeta))
    eta = harmonics.synthesis(zeta) + f
    curl, _ = harmonics.vorticity_divergence(eta * u, eta * v)
    Phi = harmonics.inverse_laplacian(curl) - harmonics.analysis((u * u + v * v) / 2)
    Phi[..., 0, 0, :] = 0
    inverse = np.linalg.inv(layers.hydrostatic)
    return over_layers(torch.as_tensor(inverse, dtype=zeta.dtype, device=zeta.device), Phi)


def mass(pi: Tensor, area: Tensor) -> Tensor:
    """Mean of p_s/p₀ with the cells' shares `[lat, lon]`."""
    return (torch.exp(pi) * area).sum((-2, -1))


def energy(g: OnGrid, layers: Layers, mean: float, area: Tensor) -> Tensor:
    """Mean of p_s/p₀ Σ_k Δ_k (½ |v|² + c_p T), m² s⁻²."""
    thickness = layers.tensor("thickness", g.u)[:, None, None]
    column = (g.u * g.u + g.v * g.v) / 2 + SPECIFIC_HEAT * (mean + g.temperature)
    return (torch.exp(g.pi) * (column * thickness).sum(1) * area).sum((-2, -1))


def angular_momentum(g: OnGrid, layers: Layers, cosine: Tensor, area: Tensor) -> Tensor:
    """Mean of p_s/p₀ Σ_k Δ_k a cos φ (u + Ω a cos φ), m² s⁻¹; `cosine` is cos φ `[lat, 1]`."""
    thickness = layers.tensor("thickness", g.u)[:, None, None]
    column = (RADIUS * cosine * (g.u + OMEGA * RADIUS * cosine) * thickness).sum(1)
    return (torch.exp(g.pi) * column * area).sum((-2, -1))
