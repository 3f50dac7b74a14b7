"""u'' = -C² sin(Cx) on [0, 1] with exact solution sin(Cx).

The smallest example of the gradient pathology.
"""

from sciml.physics import poisson
from sciml.pinn import Face, Problem, dirichlet, interval


def problem(C: float = 4.0) -> Problem:
    """The sine.

    Args:
        C: wave number of the solution; the pathology grows with it.
    """

    def equations(f):
        return {"residual": poisson.residual(poisson.sine_source(f.x, C), f.u_xx)}

    def exact(f):
        return {"u": poisson.sine(f.x, C)}

    return Problem(
        name="Poisson 1D",
        domain=interval(0.0, 1.0),
        unknowns=("u",),
        equations=equations,
        conditions=tuple(
            dirichlet("u", lambda f: exact(f)["u"], on=Face("x", value), name=name, term="walls")
            for name, value in (("left", 0.0), ("right", 1.0))
        ),
        exact=exact,
        long_names={"u": "potential"},
    )
