"""Materials of gels and rubbers by the constants an engineer measures, as energy densities.

Constants may be floats, scalars that require gradients, or fields with one value per cell.
The mathematics of the laws is in `physics.hyperelasticity`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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


@runtime_checkable
class MixedSolid(Protocol):
    """A solid with a pressure; see `physics.hyperelasticity.pressure`."""

    @property
    def compliance(self) -> Tensor: ...

    def under(self, p: Tensor) -> Solid: ...

    def volumetric(self, F: Tensor) -> Tensor: ...

    def spread(self, F: Tensor) -> Tensor: ...

    def shear_modulus(self) -> float: ...


AnySolid = Solid | MixedSolid


@final
@dataclass(frozen=True, eq=False)
class Material:
    """An energy density, its parameters and the density of the body.

    Args:
        law: parameters → the solid.
        parameters: scalars or `[m]`, Pa; gradients flow through them.
        density: kg m⁻³ at rest, > 0; a float, or a scalar that requires gradients.
        series: β_k and τ_k, s, `[k]` of the branches of a viscoelastic one (see `viscoelastic`).
    """

    law: Callable[..., AnySolid]
    parameters: tuple[Tensor, ...]
    density: float | Tensor = 1000.0
    series: tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.density, Tensor) and self.density.ndim:
            raise UserError(
                f"density: expected one for the whole body, got shape {list(self.density.shape)}"
            )
        if not self.density > 0:
            raise UserError(f"density: expected kg m⁻³ > 0, got {float(self.density)!r}")

    def solid(self) -> AnySolid:
        """The energy density with the current values of the parameters."""
        return self.law(*(value.detach() for value in self.parameters))


def linear(
    E: Constant, nu: Constant, density: float | Tensor = 1000.0, pressure: bool = False
) -> Material:
    """Hooke's law: small strains and rotations. Arguments: see `neo_hookean`."""
    if pressure:
        return Material(laws.MixedLinear, _young_poisson_pressure(E, nu), density)
    return Material(laws.Linear, laws.lame(*_young_poisson(E, nu)), density)


def st_venant_kirchhoff(E: Constant, nu: Constant, density: float | Tensor = 1000.0) -> Material:
    """Small strains, any rotation; fails in compression. Arguments: see `neo_hookean`."""
    return Material(
        lambda mu, lam: laws.Isotropic(laws.StVenantKirchhoff(mu, lam)),
        laws.lame(*_young_poisson(E, nu)),
        density,
    )


def neo_hookean(
    E: Constant, nu: Constant, density: float | Tensor = 1000.0, pressure: bool = False
) -> Material:
    """Logarithmic neo-Hookean solid.

    Args:
        E: Young's modulus, Pa, > 0; a scalar or `[m]`.
        nu: Poisson's ratio in (-1, 0.495), or in (0, 0.5] with `pressure`; a scalar or `[m]`.
        density: kg m⁻³, > 0.
        pressure: mixed elements, with a pressure field of degree 1 beside displacements of degree
            2: nothing locks, and ν of 0.5 is incompressible.

    Raises:
        UserError: values out of these ranges.
    """
    if pressure:
        return Material(
            lambda mu, compliance: laws.Mixed(
                laws.NeoHookean(mu, torch.zeros_like(mu)), laws.Logarithmic(), compliance
            ),
            _young_poisson_pressure(E, nu),
            density,
        )
    return Material(
        lambda mu, lam: laws.Isotropic(laws.NeoHookean(mu, lam)),
        laws.lame(*_young_poisson(E, nu)),
        density,
    )


def stable_neo_hookean(
    E: Constant, nu: Constant, density: float | Tensor = 1000.0, pressure: bool = False
) -> Material:
    """Neo-Hookean solid that bears inverted elements. Arguments: see `neo_hookean`."""
    if pressure:
        return Material(
            lambda mu, compliance: laws.Mixed(
                laws.StableNeoHookean(mu, -5 * mu / 6),
                laws.Relative(),
                compliance / (1 + 5 * mu / 6 * compliance),  # of l = λ + 5μ/6
            ),
            _young_poisson_pressure(E, nu),
            density,
        )
    return Material(
        lambda mu, lam: laws.Isotropic(laws.StableNeoHookean(mu, lam)),
        laws.lame(*_young_poisson(E, nu)),
        density,
    )


def mooney_rivlin(
    c10: Constant,
    c01: Constant,
    nu: Constant,
    density: float | Tensor = 1000.0,
    pressure: bool = False,
) -> Material:
    """Mooney-Rivlin solid with μ = 2 (c10 + c01).

    Args:
        c10, c01: Pa, their sum > 0; scalars or `[m]`.
        nu: Poisson's ratio of small strains in (-1, 0.495), or up to 0.5 with `pressure`.
        density: kg m⁻³, > 0.
        pressure: see `neo_hookean`.

    Raises:
        UserError: values out of these ranges.
    """
    c10, c01, nu = _constant(c10), _constant(c01), _poisson(nu, pressure)
    mu = _positive("2 (c10 + c01)", 2 * (c10 + c01))
    if pressure:
        return Material(
            lambda c10, c01, compliance: laws.Mixed(
                laws.MooneyRivlin(c10, c01, torch.zeros_like(c10)), laws.Relative(), compliance
            ),
            (c10, c01, laws.bulk_compliance(mu, nu)),
            density,
        )
    return Material(
        lambda *values: laws.Isotropic(laws.MooneyRivlin(*values)),
        (c10, c01, laws.bulk_modulus(mu, nu)),
        density,
    )


def yeoh(
    c1: Constant,
    c2: Constant,
    c3: Constant,
    nu: Constant,
    density: float | Tensor = 1000.0,
    pressure: bool = False,
) -> Material:
    """Yeoh's solid with μ = 2 c1.

    Args:
        c1: Pa, > 0; a scalar or `[m]`, like the others.
        c2, c3: Pa; usually c2 < 0 < c3.
        nu: Poisson's ratio of small strains in (-1, 0.495), or up to 0.5 with `pressure`.
        density: kg m⁻³, > 0.
        pressure: see `neo_hookean`.

    Raises:
        UserError: values out of these ranges.
    """
    c1, nu = _positive("c1", _constant(c1)), _poisson(nu, pressure)
    c2, c3 = _constant(c2), _constant(c3)
    if pressure:
        return Material(
            lambda c1, c2, c3, compliance: laws.Mixed(
                laws.Yeoh(c1, c2, c3, torch.zeros_like(c1)), laws.Relative(), compliance
            ),
            (c1, c2, c3, laws.bulk_compliance(2 * c1, nu)),
            density,
        )
    return Material(
        lambda *values: laws.Isotropic(laws.Yeoh(*values)),
        (c1, c2, c3, laws.bulk_modulus(2 * c1, nu)),
        density,
    )


def viscoelastic(
    material: Material, beta: Sequence[float] | Tensor, tau: Sequence[float] | Tensor
) -> Material:
    """The material with branches that relax; its own constants are those of the long run.

    A strain applied at once and held meets the stress 1 + Σ β_k e^(-t/τ_k) of the elastic one. The
    whole stress relaxes, or, with a pressure field, all but the pressure.

    Args:
        material: elastic.
        beta: `[k]`, ≥ 0, stiffness of every branch as a share of the material's.
        tau: `[k]`, s, > 0, their relaxation times.

    Raises:
        UserError: values out of these ranges; not one τ for each β.
    """
    found = tuple(torch.as_tensor(value, dtype=torch.float64) for value in (beta, tau))
    if found[0].ndim != 1 or found[0].shape != found[1].shape:
        raise UserError(
            "viscoelastic: expected one tau for each beta, got shapes "
            f"{list(found[0].shape)} and {list(found[1].shape)}"
        )
    for name, value, fits, unit in (
        ("beta", found[0], found[0] >= 0, "shares ≥ 0"),
        ("tau", found[1], found[1] > 0, "seconds > 0"),
    ):
        if not fits.all() or not value.isfinite().all():
            raise UserError(f"viscoelastic: expected {name} in {unit}, got {value.tolist()}")
    return replace(material, series=found)


def relaxing(
    law: Callable[..., Material], beta: Constant, tau: Constant, **constants: Constant
) -> Material:
    """A law with one branch that relaxes, by numbers or scalars: `viscoelastic` for one β and τ.

    Args:
        law: elastic material from the other constants.
        beta: ≥ 0; tau: s, > 0.
    """
    branch = (torch.as_tensor(value, dtype=torch.float64).reshape(1) for value in (beta, tau))
    return viscoelastic(law(**constants), *branch)


def _young_poisson(E: Constant, nu: Constant) -> tuple[Tensor, Tensor]:
    return _positive("Young's modulus E", _constant(E)), _poisson(nu)


def _young_poisson_pressure(E: Constant, nu: Constant) -> tuple[Tensor, Tensor]:
    """μ and 1/λ."""
    found = _poisson(nu, pressure=True)
    if not (found > 0).all():
        raise UserError(
            f"Poisson's ratio: expected 0 < nu ≤ 0.5 with pressure=True, got "
            f"{float(found.detach().min()):g}; leave the pressure field out"
        )
    return laws.lame_compliance(_positive("Young's modulus E", _constant(E)), found)


def _constant(value: Constant) -> Tensor:
    if isinstance(value, str):  # of a configuration
        raise UserError(f"material: expected a number, got {value!r}")
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


def _poisson(nu: Constant, pressure: bool = False) -> Tensor:
    found = _constant(nu)
    low, high = float(found.detach().min()), float(found.detach().max())
    if not low > -1 or not high <= 0.5:
        worst = low if low <= -1 else high
        raise UserError(
            f"Poisson's ratio: expected -1 < nu ≤ 0.5, got {worst:g}; a gel is about 0.45 … 0.49"
        )
    if high >= NEARLY_INCOMPRESSIBLE and not pressure:
        raise UserError(
            f"Poisson's ratio: expected nu < {NEARLY_INCOMPRESSIBLE:g} without a pressure field "
            f"(displacements alone lock), got {high:g}; give pressure=True, or lower nu to 0.49"
        )
    return found
