"""Both forms of the Navier-Stokes equations vanish on exact flows differentiated by sympy."""

from collections.abc import Callable
from typing import NamedTuple

import pytest
import sympy as sp

from sciml.physics import navier_stokes

x, y = sp.symbols("x y", real=True)
Re = sp.Symbol("Re", positive=True)


class Flow(NamedTuple):
    """An exact flow: u = psi_y and v = -psi_x are written out by hand, not derived."""

    u: sp.Expr
    v: sp.Expr
    p: sp.Expr
    psi: sp.Expr


def kovasznay() -> Flow:
    lam = Re / 2 - sp.sqrt(Re**2 / 4 + 4 * sp.pi**2)
    wave = sp.exp(lam * x)
    return Flow(
        1 - wave * sp.cos(2 * sp.pi * y),
        lam / (2 * sp.pi) * wave * sp.sin(2 * sp.pi * y),
        (1 - sp.exp(2 * lam * x)) / 2,
        y - wave * sp.sin(2 * sp.pi * y) / (2 * sp.pi),
    )


def poiseuille() -> Flow:
    # u = 1 - y² needs p_x = u_yy/Re = -2/Re
    return Flow(1 - y**2, sp.Integer(0), -2 * x / Re, y - y**3 / 3)


def stagnation_point() -> Flow:
    # the potential flow u = x, v = -y; Bernoulli gives p = -(x² + y²)/2
    return Flow(x, -y, -(x**2 + y**2) / 2, x * y)


def rotation() -> Flow:
    # rigid rotation u = -y, v = x; p = (x² + y²)/2 balances the centrifugal force
    return Flow(-y, x, (x**2 + y**2) / 2, -(x**2 + y**2) / 2)


def velocity_residuals(flow: Flow) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    u, v, p, _ = flow
    return (
        navier_stokes.momentum_x(
            u, v, u.diff(x), u.diff(y), p.diff(x), u.diff(x, 2), u.diff(y, 2), Re
        ),
        navier_stokes.momentum_y(
            u, v, v.diff(x), v.diff(y), p.diff(y), v.diff(x, 2), v.diff(y, 2), Re
        ),
        navier_stokes.continuity(u.diff(x), v.diff(y)),
    )


def stream_residuals(psi: sp.Expr, p: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    d = psi.diff
    return (
        navier_stokes.stream_momentum_x(
            d(x), d(y), d(x, y), d(y, 2), d(x, 2, y), d(y, 3), p.diff(x), Re
        ),
        navier_stokes.stream_momentum_y(
            d(x), d(y), d(x, 2), d(x, y), d(x, 3), d(x, y, 2), p.diff(y), Re
        ),
    )


FLOWS = [kovasznay, poiseuille, stagnation_point, rotation]


@pytest.mark.parametrize("flow", FLOWS)
def test_velocity_pressure_form_vanishes(flow: Callable[[], Flow]) -> None:
    assert all(sp.simplify(r) == 0 for r in velocity_residuals(flow()))


@pytest.mark.parametrize("flow", FLOWS)
def test_stream_function_form_vanishes(flow: Callable[[], Flow]) -> None:
    exact = flow()
    assert all(sp.simplify(r) == 0 for r in stream_residuals(exact.psi, exact.p))


def test_both_forms_agree_where_no_flow_is_exact() -> None:
    psi = sp.Function("psi")(x, y)
    p = sp.Function("p")(x, y)
    by_velocity = velocity_residuals(Flow(psi.diff(y), -psi.diff(x), p, psi))
    by_stream = stream_residuals(psi, p)
    differences = (a - b for a, b in zip(by_velocity, by_stream, strict=False))
    assert all(sp.expand(d.doit()) == 0 for d in differences)


def test_stream_function_meets_continuity_identically() -> None:
    psi = sp.Function("psi")(x, y)
    assert navier_stokes.continuity(psi.diff(y, x), (-psi).diff(x, y)) == 0


def test_only_the_right_pressure_balances() -> None:
    wrong = kovasznay()._replace(p=sp.Integer(0))
    assert sp.simplify(velocity_residuals(wrong)[0]) != 0


def test_transport_of_vorticity_is_the_curl_of_the_momentum() -> None:
    psi = sp.Function("psi")(x, y)
    p = sp.Function("p")(x, y)
    along_x, along_y = stream_residuals(psi, p)
    transport = navier_stokes.vorticity_transport(
        *(psi.diff(x), psi.diff(y)),
        *(psi.diff(x, 3), psi.diff(x, 2, y), psi.diff(x, y, 2), psi.diff(y, 3)),
        *(psi.diff(x, 4), psi.diff(x, 2, y, 2), psi.diff(y, 4), Re),
    )
    assert sp.expand(sp.diff(along_x, y) - sp.diff(along_y, x) - transport) == 0


def test_unsteady_stream_form_with_coefficients() -> None:
    """λ1 and λ2 at decaying Taylor-Green vortices, u = -cos x sin y e^{-2νt}, v = sin x cos y ….

    Their ψ = cos x cos y e^{-2νt} is right at λ2 = ν, with p ∝ λ1: inertia is a gradient.
    """
    t, lambda1, nu = sp.symbols("t lambda1 nu", positive=True)
    psi = sp.cos(x) * sp.cos(y) * sp.exp(-2 * nu * t)
    p = -lambda1 * (sp.cos(2 * x) + sp.cos(2 * y)) * sp.exp(-4 * nu * t) / 4

    def of(letters: str) -> sp.Expr:
        return psi.diff(*({"x": x, "y": y, "t": t}[letter] for letter in letters))

    for lambda2, right in ((nu, True), (2 * nu, False)):
        first = navier_stokes.unsteady_stream_momentum_x(
            *map(of, ("x", "y", "xy", "yy", "yt", "xxy", "yyy")), p.diff(x), lambda1, lambda2
        )
        second = navier_stokes.unsteady_stream_momentum_y(
            *map(of, ("x", "y", "xx", "xy", "xt", "xxx", "xyy")), p.diff(y), lambda1, lambda2
        )
        assert (sp.simplify(first) == 0) is right
        assert (sp.simplify(second) == 0) is right
