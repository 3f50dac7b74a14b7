"""Pressure, shear and forces by taxel of known tractions; totals are exact."""

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.contracts import UserError
from sciml.tactile.elements import Elements
from sciml.tactile.sensor import Surface, Taxels, consistent, grid, lumped
from sciml.tactile.shapes import pad
from sciml.tactile.triangle import shape
from tests.tactile.sensors import DEPTH, THICK, WIDTH, directional, flat, round_, smooth

BOTH = pytest.mark.parametrize("solve", [consistent, lumped])
DEGREES = pytest.mark.parametrize("degree", [1, 2])
PUSH = torch.tensor([300.0, -200.0, -5e3]).double()


def loaded(surface: Surface, u: Tensor, traction) -> Tensor:
    """f_a = ∫ N_a t da over the deformed surface, by the quadrature of degree 5, N."""
    areas, points = surface.areas(u)
    N = shape(surface.degree, points)
    at = torch.einsum("qa,kai->kqi", N, (surface.rest + u)[surface.triangles])
    parts = torch.einsum("kq,qa,kqi->kai", areas, N, traction(at))
    f = torch.zeros_like(surface.rest)
    return f.index_add(0, surface.triangles.reshape(-1), parts.reshape(-1, 3))


def front(degree: int, cells=(4, 3, 1)) -> Surface:
    return Surface(Elements(pad(WIDTH, DEPTH, THICK, cells), degree), "front")


@BOTH
@DEGREES
def test_a_uniform_traction_is_found(degree: int, solve) -> None:
    surface = front(degree)
    u = surface.still()
    found = solve(surface, u, loaded(surface, u, lambda at: PUSH.expand_as(at)))
    assert (found.pressure - 5e3).abs().max() <= 1e-8
    assert (found.shear - torch.tensor([300.0, -200.0, 0.0])).abs().max() <= 1e-8


@BOTH
@DEGREES
def test_a_uniform_traction_on_a_bent_front(degree: int, solve) -> None:
    """On any deformed surface: t is what acts by deformed area."""
    surface = front(degree)
    u = smooth(surface.elements)
    found = solve(surface, u, loaded(surface, u, lambda at: PUSH.expand_as(at)))
    assert (found.vectors - PUSH).abs().max() <= 1e-8 * 5e3
    along = found.shear + -found.pressure[:, None] * found.normals
    assert (along - PUSH).abs().max() <= 1e-8 * 5e3
    assert (found.shear * found.normals).sum(-1).abs().max() <= 1e-9


@DEGREES
def test_a_traction_of_the_elements_space_is_exact(degree: int) -> None:
    """Linear on P1, quadratic on P2, by the consistent mass."""
    surface = front(degree)
    u = surface.still()

    def traction(at: Tensor) -> Tensor:
        x, y, _ = (at / 0.01).unbind(-1)
        p = 1e3 * (1 + x - 2 * y + (x * y - x**2 if degree == 2 else 0 * x))
        return torch.stack([0 * x, 0.1 * p, -p], dim=-1)

    found = consistent(surface, u, loaded(surface, u, traction))
    wanted = traction(surface.rest[surface.nodes])
    assert (found.vectors - wanted).abs().max() <= 1e-8 * wanted.abs().max()


@BOTH
@DEGREES
def test_a_smooth_traction_is_approached(degree: int, solve) -> None:
    """Errors at inner nodes fall as h² when lumped, as h^(degree + 1) at least when consistent."""
    errors = []
    for n in (4, 8):
        surface = front(degree, (4 * n // 3, n, 1))

        def traction(at: Tensor) -> Tensor:
            x, y, _ = (at / 0.005).unbind(-1)
            return torch.stack([0 * x, 0 * x, -1e3 * torch.cos(x) * torch.cos(y)], dim=-1)

        found = solve(surface, surface.still(), loaded(surface, surface.still(), traction))
        at = surface.rest[surface.nodes]
        inner = (at[:, 0].abs() < 0.0055) & (at[:, 1].abs() < 0.004)
        errors.append(float((found.vectors - traction(at))[inner].abs().max()))
    order = 2 if solve is lumped else degree + 1
    assert np.log2(errors[0] / errors[1]) > order - 0.35, errors


@BOTH
@DEGREES
@pytest.mark.parametrize("make", [flat, round_])
def test_the_integral_of_traction_is_the_total_force(make, degree: int, solve) -> None:
    sensor = make(degree)
    surface, u = sensor.surface, smooth(sensor.elements)
    f = torch.from_numpy(np.random.default_rng(0).normal(size=tuple(u.shape)))
    found = solve(surface, u, f)
    areas, points = surface.areas(u)
    everywhere = found.everywhere(found.vectors)[surface.triangles]
    total = torch.einsum("kq,qa,kai->i", areas, shape(surface.degree, points), everywhere)
    assert (total - f[surface.nodes].sum(0)).abs().max() <= 1e-10


@DEGREES
def test_lumped_pressure_of_pushing_forces_is_not_negative(degree: int) -> None:
    surface = front(degree)
    u, f = surface.still(), surface.still()
    f[surface.nodes[::7], 2] = -0.1  # scattered single forces, the worst there is
    assert (lumped(surface, u, f).pressure >= 0).all()
    assert (consistent(surface, u, f).pressure < 0).any()


def test_pressure_of_a_dome_is_radial() -> None:
    sensor = round_(2, rings=8)
    surface, u = sensor.surface, sensor.surface.still()
    out = loaded(surface, u, lambda at: -2e3 * at / at.norm(dim=-1, keepdim=True))
    found = lumped(surface, u, out)
    inner = surface.rest[surface.nodes, 2] > 0.003  # at the rim, normals are one-sided
    assert (found.pressure[inner] / 2e3 - 1).abs().max() < 0.02
    assert found.shear[inner].norm(dim=-1).max() < 0.06 * 2e3


@BOTH
@DEGREES
def test_gradients_of_tractions(degree: int, solve) -> None:
    surface = front(degree)
    u, f = smooth(surface.elements), smooth(surface.elements, 0.1)
    for function, at in (
        (lambda u: solve(surface, u, f).pressure, u),
        (lambda f: solve(surface, u, f).shear, f),
    ):
        found, central = directional(function, at, 1e-7)
        assert found == pytest.approx(central, rel=1e-6)


@DEGREES
@pytest.mark.parametrize("make", [flat, round_])
def test_taxels_add_up_to_the_total(make, degree: int) -> None:
    sensor = make(degree)
    f = torch.from_numpy(np.random.default_rng(0).normal(size=(sensor.elements.n, 3)))
    taxels, surface = sensor.taxels, sensor.surface
    assert (taxels.shares.sum(0) - 1).abs().max() <= 1e-15 and (taxels.shares >= 0).all()
    total = f[surface.nodes].sum(0)
    assert (taxels.forces(f).sum(0) - total).abs().max() <= 1e-13 * float(f.abs().sum())


@DEGREES
def test_taxels_of_a_uniform_pressure_get_their_area(degree: int) -> None:
    """4 x 3 taxels of 5 mm squares, which the bricks fill: 25 mm² each, 5 kPa: 0.125 N."""
    surface = front(degree)
    taxels = Taxels(surface, grid(4, 3, 0.005, THICK))
    u = surface.still()
    f = loaded(surface, u, lambda at: torch.tensor([0.0, 0.0, -5e3]).double().expand_as(at))
    found = taxels.forces(f)[:, 2].reshape(3, 4)
    assert found.sum() == pytest.approx(-5e3 * WIDTH * DEPTH, rel=1e-12)
    assert found.numpy() == pytest.approx(-0.125, rel=0.25 if degree == 1 else 0.1)
    fine = front(degree, (16, 12, 1))  # shares of nodes on borders matter less and less
    f = loaded(fine, fine.still(), lambda at: torch.tensor([0, 0, -5e3]).double().expand_as(at))
    found = Taxels(fine, grid(4, 3, 0.005, THICK)).forces(f)[:, 2]
    assert found.numpy() == pytest.approx(-0.125, rel=0.06 if degree == 1 else 0.025)


def test_a_single_force_goes_to_its_taxel() -> None:
    surface = front(2, (8, 6, 1))
    taxels = Taxels(surface, grid(4, 3, 0.005, THICK))
    node = int(np.abs(surface.elements.nodes - [0.0025, 0.005, THICK]).sum(1).argmin())
    f = surface.still()
    f[node] = torch.tensor([0.1, 0.2, -1.0])
    found = taxels.forces(f)  # centres at x = 2.5 mm (third column), y = 5 mm (third row)
    assert (found[2 * 4 + 2] - f[node]).abs().max() == 0
    assert found.abs().sum() == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Taxels(front(1), grid(4, 3, 5.0, 4.0)),
            "taxels: expected every centre near surface 'front', got 10 of 12 that are nearest to "
            "no part of it .number 0 at .*; if these are millimetres multiply by 1e-3",
        ),
        (
            lambda: consistent(front(2), *torch.zeros(2, 40, 3).double()),
            r"u: expected one vector for each node, \[189, 3\], got \[40, 3\]",
        ),
        (
            lambda: flat(1).taxels.forces(torch.zeros(41, 3).double()),
            r"forces: expected one vector for each node, \[40, 3\], got \[41, 3\]",
        ),
    ],
)
def test_bad_forces_are_refused(make, said: str) -> None:
    with pytest.raises(UserError, match=said) as refusal:
        make()
    assert "\n" not in str(refusal.value)
