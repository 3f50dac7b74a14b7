"""The heat equation with varying conductivity: sympy's divergence, the manufactured pair."""

import sympy as sp
import torch

from sciml.physics import heat

x, y, t = sp.symbols("x y t", real=True)


def test_residual_is_the_divergence_form() -> None:
    u, a, f = sp.Function("u")(x, y, t), sp.Function("a")(x, y), sp.Function("f")(x, y, t)
    divergence = sp.diff(a * u.diff(x), x) + sp.diff(a * u.diff(y), y)
    ours = heat.residual(
        *(u.diff(t), u.diff(x), u.diff(y), u.diff(x, 2), u.diff(y, 2)),
        *(a, a.diff(x), a.diff(y), f),
    )
    assert sp.simplify(ours - (u.diff(t) - divergence - f)) == 0


def test_manufactured_source() -> None:
    """f = u_t - ∇·(a ∇u), differentiated by sympy, at points."""
    s = sp.sin(sp.pi * x) * sp.sin(sp.pi * y)
    u, a = sp.exp(-t) * s, 2 + s
    source = u.diff(t) - sp.diff(a * u.diff(x), x) - sp.diff(a * u.diff(y), y)
    places = torch.rand(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for expression, found in (
        (u, heat.cooling(*places)),
        (a, heat.conductivity(*places[:2])),
        (source, heat.cooling_source(*places)),
    ):
        expected = sp.lambdify((x, y, t), expression, "numpy")(*places.numpy())
        torch.testing.assert_close(found, torch.as_tensor(expected))
