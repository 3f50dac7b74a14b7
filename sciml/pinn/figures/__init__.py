"""The figures of a PINN's run folder: fields against the truth, history, gradients, flow."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.contracts import UserError

if TYPE_CHECKING:
    from sciml.pinn.problem import Problem


@dataclass(frozen=True)
class Figures:
    """Draws what the run folder holds into `figures/`; what it lacks is left out.

    Args:
        problem: gives the order of the unknowns; everything drawn is read from the run folder.
    """

    problem: "Problem"

    def __call__(self, run: Path) -> list[tuple[Path, str]]:
        from sciml.drawing import history
        from sciml.pinn.figures import fields, flow, gradients

        run = Path(run)
        if not (run / "result.nc").exists():
            raise UserError(f"expected result.nc in {run}, found none; evaluate the run first")
        drawn: list[tuple[Path, str]] = []
        data = fields.read(run / "result.nc")
        drawn += fields.draw(data, self._order(), run)
        drawn += flow.draw(data, run)
        if (run / "history.csv").exists():
            drawn += history.draw(history.read(run / "history.csv"), run)
        if (run / "gradients.npz").exists():
            drawn += gradients.draw(run / "gradients.npz", run)
        return drawn

    def _order(self) -> tuple[str, ...]:
        return (*self.problem.unknowns, *self.problem.derived)
