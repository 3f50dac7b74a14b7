"""The figures of a forecaster's run folder: scorecard, error by lead, maps, spectra, training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sciml.contracts import UserError


@dataclass(frozen=True)
class Figures:
    """Draws what the run folder holds into `figures/`; what it lacks is left out.

    Args:
        units: of the channels, for the axes.
    """

    units: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, run: Path) -> list[tuple[Path, str]]:
        from sciml.drawing import history
        from sciml.globe.figures import forecasts, scores

        run = Path(run)
        if not (run / "metrics.json").exists():
            raise UserError(f"expected metrics.json in {run}, found none; evaluate the run first")
        drawn = scores.draw(scores.read(run / "metrics.json"), run, self.units)
        if (run / "result.nc").exists():
            drawn += forecasts.draw(forecasts.read(run / "result.nc"), run)
        if (run / "history.csv").exists():
            drawn += history.draw(history.read(run / "history.csv"), run)
        return drawn
