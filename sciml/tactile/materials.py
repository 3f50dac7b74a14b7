"""Materials of gels and rubbers by the constants an engineer measures, as energy densities.

Constants may be floats, scalars that require gradients, or fields with one value per cell.
The mathematics of the laws is in `physics.hyperelasticity`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.physics import hyperelasticity as laws
from sciml.physics.hyperelasticity.tangent import Tangent

#: Poisson's ratio from which displacements alone lock or lose digits, whatever the degree.
NEARLY_INCOMPRESSIBLE = 0.495
#: A scalar, or one value per cell.
Constant = float | Tensor


@runtime_checkable
class Solid(Protocol):
    """ψ(F) with its derivatives; see `physics.hyperelasticity`."""

    def energy(self, F: Tensor) -> Tensor: ...

    def stress(self, F: Tensor) -> Tensor: ...

    def energy_and_stress(self, F: Tensor) -> tuple[Tensor, Tensor]: ...

    def tangent(self, F: Tensor, scale: Tensor) -> Tangent: ...


@final
@dataclass(frozen=True, eq=False)
class Material:
    """An energy density, its parameters and the density of the body.

    Args:
        law: parameters → the solid.
        parameters: scalars or `[m]`, Pa; gradients flow through them.
        density: kg m⁻³ at rest, > 0.
    """

    law: Callable[..., Solid]
    parameters: tuple[Tensor, ...]
    density: float = 1000.0

    def __post_init__(self) -> None:
        if not self.density > 0:
            raise UserError(f"density: expected kg m⁻³ > 0, got {self.density!r}")

    def solid(self) -> Solid:
        """The energy density with the current values of the parameters."""
        return self.law(*(value.detach() for value in self.parameters))


def linear(E: Constant, nu: Constant, density: float = 1000.0) -> Material:
    """Hooke's law: small strains and rotations. Arguments: see `neo_hookean`."""
    return Material(laws.Linear, laws.lame(*_young_poisson(E, nu)), density)


def st_venant_kirchhoff(E: Constant, nu: Constant, density: float = 1000.0) -> Material:
    """Small strains, any rotation; fails in compression. Arguments: see `neo_hookean`."""
    return Material(
        lambda mu, lam: laws.Isotropic(laws.StVenantKirchhoff(mu, lam)),
        laws.lame(*_young_poisson(E, nu)),
        density,
    )


def neo_hookean(E: Constant, nu: Constant, density: float = 1000.0) -> Material:
    """Logarithmic neo-Hookean solid.

    Args:
        E: Young's modulus, Pa, > 0; a scalar or `[m]`.
        nu: Poisson's ratio in (-1, 0.495); a scalar or `[m]`.
        density: kg m⁻³, > 0.

    Raises:
        UserError: values out of these ranges.
    """
    return Material(
        lambda mu, lam: laws.Isotropic(laws.NeoHookean(mu, lam)),
        laws.lame(*_young_poisson(E, nu)),
        density,
    )


def stable_neo_hookean(E: Constant, nu: Constant, density: float = 1000.0) -> Material:
    """Neo-Hookean solid that bears inverted elements. Arguments: see `neo_hookean`."""
    return Material(
        lambda mu, lam: laws.Isotropic(laws.StableNeoHookean(mu, lam)),
        laws.lame(*_young_poisson(E, nu)),
        density,
    )


def mooney_rivlin(c10: Constant, c01: Constant, nu: Constant, density: float = 1000.0) -> Material:
    """Mooney-Rivlin solid with μ = 2 (c10 + c01).

    Args:
        c10, c01: Pa, their sum > 0; scalars or `[m]`.
        nu: Poisson's ratio of small strains in (-1, 0.495).
        density: kg m⁻³, > 0.

    Raises:
        UserError: values out of these ranges.
    """
    c10, c01, nu = _constant(c10), _constant(c01), _poisson(nu)
    mu = _positive("2 (c10 + c01)", 2 * (c10 + c01))
    return Material(
        lambda *values: laws.Isotropic(laws.MooneyRivlin(*values)),
        (c10, c01, laws.bulk_modulus(mu, nu)),
        density,
    )


def yeoh(
    c1: Constant, c2: Constant, c3: Constant, nu: Constant, density: float = 1000.0
) -> Material:
    """Yeoh's solid with μ = 2 c1.

    Args:
        c1: Pa, > 0; a scalar or `[m]`, like the others.
        c2, c3: Pa; usually c2 < 0 < c3.
        nu: Poisson's ratio of small strains in (-1, 0.495).
        density: kg m⁻³, > 0.

    Raises:
        UserError: values out of these ranges.
    """
    c1, nu = _positive("c1", _constant(c1)), _poisson(nu)
    return Material(
        lambda *values: laws.Isotropic(laws.Yeoh(*values)),
        (c1, _constant(c2), _constant(c3), laws.bulk_modulus(2 * c1, nu)),
        density,
    )


def _young_poisson(E: Constant, nu: Constant) -> tuple[Tensor, Tensor]:
    return _positive("Young's modulus E", _constant(E)), _poisson(nu)


def _constant(value: Constant) -> Tensor:
    found = torch.as_tensor(value, dtype=torch.float64)
    if found.ndim > 1:
        raise UserError(
            f"material: expected a scalar or one value per cell, got shape {tuple(found.shape)}"
        )
    return found


def _positive(name: str, value: Tensor) -> Tensor:
    if not (value > 0).all() or not value.isfinite().all():
        raise UserError(f"{name}: expected Pa > 0, got {float(value.detach().min()):g}")
    return value


def _poisson(nu: Constant) -> Tensor:
    found = _constant(nu)
    low, high = float(found.detach().min()), float(found.detach().max())
    if not low > -1 or not high < 0.5:
        worst = high if high >= 0.5 else low
        raise UserError(
            f"Poisson's ratio: expected -1 < nu < 0.5, got {worst:g}; a gel is about 0.45 … 0.49"
        )
    if high >= NEARLY_INCOMPRESSIBLE:
        raise UserError(
            f"Poisson's ratio: expected nu < {NEARLY_INCOMPRESSIBLE:g} without a pressure field "
            f"(displacements alone lock), got {high:g}; lower nu to 0.49"
        )
    return found
