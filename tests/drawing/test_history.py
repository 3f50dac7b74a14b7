"""How training went, from the file that every run writes."""

from pathlib import Path

import numpy as np
import pytest

from sciml.contracts import UserError
from sciml.drawing import history


def test_empty_cells_are_no_numbers(tmp_path: Path) -> None:
    text = "step,phase,cpu_s,loss/r,weight/r,metric/e\n1,adam,0.1,2.0,,\n2,lm,0.2,1.0,,0.5\n"
    (tmp_path / "history.csv").write_text(text)
    table = history.read(tmp_path / "history.csv")
    assert list(history.columns(table, "weight/")) == []
    assert np.isnan(table["metric/e"][0])
    assert list(table["phase"]) == ["adam", "lm"]
    assert [path.stem for path, _ in history.draw(table, tmp_path)] == ["training", "errors"]
    (tmp_path / "history.csv").write_text("")
    with pytest.raises(UserError, match="expected rows"):
        history.read(tmp_path / "history.csv")
