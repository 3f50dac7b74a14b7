"""The figures of a forecaster's run folder: scorecard, error by lead, maps, spectra, film."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sciml.contracts import UserError


@dataclass(frozen=True)
class Figures:
    """Draws what the run folder holds into `figures/`; what it lacks is left out.

    Args:
        units: of the channels, for the axes, in the order in which they are shown.
    """

    units: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, run: Path) -> list[tuple[Path, str]]:
        from sciml.drawing import history
        from sciml.globe.figures import animation, forecasts, scores

        run = Path(run)
        if not (run / "metrics.json").exists():
            raise UserError(f"expected metrics.json in {run}, found none; evaluate the run first")
        drawn = scores.draw(scores.read(run / "metrics.json"), run, self.units)
        if (run / "result.nc").exists():
            data = forecasts.read(run / "result.nc")
            drawn += forecasts.draw(data, run)
            animation.draw(data, run)  # a file of its own: the report holds still pictures
        if (run / "history.csv").exists():
            table = history.read(run / "history.csv")
            drawn += history.draw(
                one_day(table, self.units), run, scores.RATIO, "RMSE over persistence's"
            )
        return drawn


def one_day(table: Mapping[str, Any], channels: Iterable[str] = ()) -> dict[str, Any]:
    """A history whose scores are those of one day ahead, where there are such, by channel."""
    chosen = {k: v for k, v in table.items() if not k.startswith("metric/") or k.endswith("/24h")}
    chosen = chosen if any(k.startswith("metric/") for k in chosen) else dict(table)
    place = {name: i for i, name in enumerate(channels)}
    return {k: chosen[k] for k in sorted(chosen, key=lambda k: place.get(_channel(k), len(place)))}


def _channel(column: str) -> str:
    """The channel of `metric/rmse/z500/24h`; empty for a column of none."""
    return column.split("/")[2] if column.count("/") == 3 else ""
