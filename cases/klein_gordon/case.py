"""u_tt - u_xx + u³ = f for x and t in [0, 1]; exact solution x cos(5πt) + (xt)³.

Given are u and u_t at t = 0, and u at both ends.
"""

from sciml.physics import klein_gordon
from sciml.pinn import Face, Problem, dirichlet, initial_value, initial_velocity, interval


def problem() -> Problem:
    """The benchmark's coefficients α = -1, β = 0, γ = 1, k = 3."""

    def equations(f):
        source = klein_gordon.growing_wave_source(f.x, f.t)
        return {"residual": klein_gordon.residual(f.u, f.u_tt, f.u_xx, source)}

    def exact(f):
        return {"u": klein_gordon.growing_wave(f.x, f.t)}

    def value(f):
        return exact(f)["u"]

    return Problem(
        name="Klein-Gordon",
        domain=interval(0.0, 1.0).over_time(0.0, 1.0),
        unknowns=("u",),
        equations=equations,
        conditions=(
            initial_value("u", value, name="initial_value", term="initial"),
            initial_velocity("u", 0.0, name="initial_velocity", term="initial"),
            dirichlet("u", value, on=Face("x", 0.0), name="left", term="walls"),
            dirichlet("u", value, on=Face("x", 1.0), name="right", term="walls"),
        ),
        exact=exact,
        long_names={"u": "amplitude"},
    )
