"""What is known of a problem's solution: the values that errors are measured against."""

from pathlib import Path

import torch

from sciml.contracts import UserError
from sciml.pinn import reference
from sciml.pinn.points import Points
from sciml.pinn.problem import Problem


def known(
    problem: Problem, solution: reference.Reference | None, grid: tuple[int, ...]
) -> Points | None:
    """The exact solution on a grid, else the reference on its own; None where neither is known."""
    if problem.exact is not None:
        _, x, _ = problem.domain.grid(grid)
        truth = _exact(problem, torch.from_numpy(x))
    elif solution is not None:
        values = {name: torch.from_numpy(value) for name, value in solution.values.items()}
        truth = Points(torch.from_numpy(solution.x), target=values)
    else:
        return None
    for name, value in (truth.target or {}).items():
        if not value.any():
            raise UserError(
                f"{problem.name}: expected a truth that is not zero everywhere, got zero for "
                f"{name!r}, which has no relative error; leave it out of compared="
            )
    return truth


def read(problem: Problem, path: Path) -> reference.Reference:
    """The fields compared of a reference solution, where all of them have a value."""
    fields = problem.compared or (*problem.unknowns, *problem.derived)
    known = reference.read(path, problem.coordinates, fields)
    missing = [name for name in problem.compared or () if name not in known.values]
    if missing:
        raise UserError(
            f"{problem.name}: expected {missing} in the reference {path.name}, which has "
            f"{tuple(known.values)} of what is compared; add to the file or shorten compared="
        )
    outside = ~problem.domain.contains(known.x)
    if outside.any():
        raise UserError(
            f"{problem.name}: expected the reference {path.name} inside the domain "
            f"({problem.domain.extent}), got {int(outside.sum())} points outside, the first at "
            f"{known.x[outside][0].tolist()}; give nan there, or check the units"
        )
    return known


def _exact(problem: Problem, x: torch.Tensor) -> Points:
    compared = problem.compared
    truth = problem.truth(x).items()
    values = {k: v.detach() for k, v in truth if compared is None or k in compared}
    for name, value in values.items():
        bad = ~torch.isfinite(value)
        if bad.any():
            raise UserError(
                f"{problem.name}: exact: expected finite values of {name} on the grid, "
                f"got {value[bad][0]} at {x[bad][0].tolist()}; set sampling.grid or the domain "
                "so that no point is singular"
            )
    return Points(x, target=values)
