"""Lines of a training's history are not joined where what they show became another thing."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from sciml.drawing import history


@pytest.mark.parametrize("rows", [3, 100])
def test_lines_end_where_a_phase_does(tmp_path: Path, rows: int) -> None:
    """Of a phase with one row only its point is seen; the legend has one entry a term."""
    table = {
        "step": np.arange(rows + 1.0),
        "phase": np.array(["one_step"] * rows + ["two_steps"]),
        "loss/mse": np.append(np.linspace(2, 1, rows), 3.0),
    }
    axes = Figure().subplots()
    history._line(axes, table["step"], table["loss/mse"], "mse", "C0", history._starts(table))
    assert [len(line.get_xdata()) for line in axes.lines] == [rows, 1]
    assert axes.lines[1].get_marker() == "o"
    assert axes.get_legend_handles_labels()[1] == ["mse"]
    ((_, caption),) = history.draw(table, tmp_path)
    assert "end with their phase" in caption
