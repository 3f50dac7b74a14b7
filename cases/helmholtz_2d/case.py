"""u_xx + u_yy + u = q on [-1, 1]², u given on the walls; exact solution sin(a1 π x) sin(a2 π y)."""

from torch import Tensor

from sciml.physics import helmholtz
from sciml.pinn import Face, Problem, dirichlet, rectangle

WALLS = {
    "left": Face("x", -1.0),
    "right": Face("x", 1.0),
    "bottom": Face("y", -1.0),
    "top": Face("y", 1.0),
}


def problem(a1: float = 1.0, a2: float = 4.0, constrained: bool = False) -> Problem:
    """The standing wave.

    Args:
        a1, a2: half-waves per unit length along x and y.
        constrained: without conditions: the network meets them (`within_walls`).
    """

    def equations(f):
        q = helmholtz.standing_wave_source(f.x, f.y, a1, a2)
        return {"residual": helmholtz.residual(f.u, f.u_xx, f.u_yy, q)}

    def exact(f):
        return {"u": helmholtz.standing_wave(f.x, f.y, a1, a2)}

    conditions = tuple(
        dirichlet("u", lambda f: exact(f)["u"], on=wall, name=name, term="walls")
        for name, wall in WALLS.items()
    )
    return Problem(
        name="Helmholtz 2D",
        domain=rectangle((-1.0, -1.0), (1.0, 1.0)),
        unknowns=("u",),
        equations=equations,
        conditions=() if constrained else conditions,
        exact=exact,
        long_names={"u": "amplitude"},
    )


def within_walls(x: Tensor, network: Tensor) -> Tensor:
    """u = (1 - x²)(1 - y²) N: zero on the walls, for whole a1 and a2."""
    return (1 - x[:, :1] ** 2) * (1 - x[:, 1:] ** 2) * network
