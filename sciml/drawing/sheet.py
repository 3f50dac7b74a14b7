"""Paper and pens of every figure: the house style, axis labels with units, saving as PNG."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sciml import atomic

STYLE = Path(__file__).with_name("style.json")


@contextmanager
def sheet(run: Path, name: str, size: tuple[float, float]) -> Iterator[tuple[Figure, Path]]:
    """A figure in the house style, saved as `figures/NAME.png` of the run when the block ends.

    Args:
        size: width and height in inches.
    """
    path = Path(run) / "figures" / f"{name}.png"
    with matplotlib.rc_context(style()):
        figure = Figure(figsize=size)
        yield figure, path
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png", metadata={"Software": None})


def style() -> dict[str, Any]:
    """The house's rcParams."""
    parameters = json.loads(STYLE.read_text(encoding="utf-8"))
    parameters["axes.prop_cycle"] = cycler(color=parameters["axes.prop_cycle"])
    return parameters


def label(array: Any) -> str:
    """`name (unit)` of a data array or coordinate; a dimensionless quantity has no unit."""
    units = array.attrs.get("units", "1")
    return str(array.name) if units in ("", "1") else f"{array.name} ({units})"


def quantity(array: Any) -> str:
    """The value of a scalar with its unit, `0.5 s`."""
    units = array.attrs.get("units", "1")
    value = f"{float(array):.3g}"
    return value if units in ("", "1") else f"{value} {units}"


def colour_bar(axes: Axes, mappable: Any) -> None:
    """A colour bar exactly as tall as its map."""
    bar = axes.figure.colorbar(mappable, cax=axes.inset_axes((1.03, 0, 0.045, 1)))
    bar.outline.set_linewidth(0.5)
    bar.formatter.set_powerlimits((-2, 3))


def lines(axes: Axes, predicted: tuple[Any, Any], known: tuple[Any, Any] | None, name: str) -> None:
    """A broad line for the prediction, thin dashes over it for what is known."""
    axes.plot(*predicted, color="#4db3e6", linewidth=2.6, label="predicted")
    if known is not None:
        axes.plot(*known, color="black", linewidth=1.1, linestyle=(0, (4, 2.5)), label=name)


def times_ten(value: float) -> str:
    """`3.2×10⁻⁴` for captions and titles; plain where the exponent is small."""
    if value == 0 or not math.isfinite(value) or 1e-2 <= abs(value) < 1e4:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}×10{superscript}"
