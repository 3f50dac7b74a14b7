"""Error against processor time of several runs, or one line that says what is missing."""

from pathlib import Path

import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from oracles import run_folders

from sciml import tables
from sciml.contracts import UserError
from sciml.report import compare


def test_one_figure_of_several_runs(tmp_path: Path) -> None:
    runs = [run_folders.helmholtz(tmp_path / "a"), run_folders.burgers(tmp_path / "b")]
    out = compare.figure(runs, tmp_path / "deep" / "compare.png")
    assert out.read_bytes().startswith(b"\x89PNG")


def test_the_table_has_one_row_for_each_run(tmp_path: Path) -> None:
    runs = [
        run_folders.helmholtz(tmp_path / "a", 1e-2),
        run_folders.helmholtz(tmp_path / "b", 2e-2),
    ]
    rows = tables.comparison(runs).splitlines()
    assert len(rows) == 3
    assert "rel_l2/u" in rows[0]
    assert "0.02" in rows[2]


def test_curves_hold_what_the_history_recorded(tmp_path: Path) -> None:
    rows = compare._read(run_folders.helmholtz(tmp_path, 1e-2))
    curve = compare.curve("a", rows, "rel_l2/u")
    # an error every 200 of 4,400 steps; 0.012 s a step and 0.4 s more for each of the last 400
    assert len(curve.seconds) == 22
    assert curve.seconds[-1] == pytest.approx(0.012 * 4400 + 0.4 * 400)


def test_runs_are_named_by_the_shortest_ending_that_tells_them_apart() -> None:
    assert compare.names(["r/m1/7", "r/m4/8"]) == ["7", "8"]
    assert compare.names(["r/m1/7", "r/m4/7"]) == ["m1/7", "m4/7"]
    with pytest.raises(UserError, match="twice"):
        compare.names(["r/a", "r/./a"])
    with pytest.raises(UserError, match="got none"):
        compare.names([])


def test_a_figure_is_written_in_the_form_of_its_name(tmp_path: Path) -> None:
    a = run_folders.helmholtz(tmp_path / "a")
    assert compare.figure([a], tmp_path / "new/c.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(UserError, match=r"expected a figure in .png, .pdf, .svg, got c.docx"):
        compare.figure([a], tmp_path / "c.docx")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        compare.figure([a], tmp_path / "file/c.png")


def test_the_legend_tells_close_values_apart() -> None:
    assert compare.ending(compare.Curve("a", [0.5, 1.04], [0.5, 0.2781])) == "a  (0.278 in 1.0 s)"
    assert compare.ending(compare.Curve("b", [0.5, 1.31], [0.5, 0.2832])) == "b  (0.283 in 1.3 s)"
    assert compare.ending(compare.Curve("c", [4321.4], [0.02])) == "c  (0.02 in 4,321 s)"
    assert compare.ending(compare.Curve("d", [9.97], [0.02])) == "d  (0.02 in 10 s)"


@pytest.mark.parametrize("errors", [(0.3, 0.28), (0.9, 0.11), (0.97, 0.015)])
def test_numbers_are_plain_on_a_short_axis(errors: tuple[float, float]) -> None:
    sheet = Figure()
    compare._draw(sheet, [compare.Curve("a", [0.5, 1.3], list(errors))], "rel_l2/u")
    sheet.draw_without_rendering()
    for axis in (sheet.axes[0].xaxis, sheet.axes[0].yaxis):
        low, high = axis.get_view_interval()
        ticks = axis.get_ticklabels(which="both")
        shown = [t.get_text() for t in ticks if t.get_text() and _inside(t, axis, low, high)]
        assert len(shown) >= 2
        assert all(float(text) > 0 for text in shown)


def _inside(tick: Text, axis: Axis, low: float, high: float) -> bool:
    return low <= tick.get_position()[axis.axis_name == "y"] <= high


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    a = run_folders.helmholtz(tmp_path / "a")
    with pytest.raises(UserError, match=r"expected history.csv in .*nowhere"):
        compare.figure([a, tmp_path / "nowhere"], tmp_path / "c.png")
    b = tmp_path / "b"
    b.mkdir()
    (b / "history.csv").write_text("step,cpu_s,metric/rel_l2/p\n1,0.5,0.1\n")
    with pytest.raises(UserError, match=r"common to all runs, got a: rel_l2/u; b: rel_l2/p"):
        compare.figure([a, b], tmp_path / "c.png")
    with pytest.raises(UserError, match=r"recorded no 'rel_l2/v'; it has rel_l2/u"):
        compare.figure([a], tmp_path / "c.png", metric="rel_l2/v")
    (b / "history.csv").write_text("")
    with pytest.raises(UserError, match="no rows with cpu_s"):
        compare.figure([a, b], tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_a_run_too_short_to_validate_is_judged_by_its_metrics(tmp_path):
    for name, error in (("a", 0.5), ("b", 0.25)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "history.csv").write_text("step,cpu_s,loss/residual\n1,0.1,3.0\n")
        metrics = f'{{"rel_l2/u": {error}, "cpu_s": 2.0}}'
        (tmp_path / name / "metrics.json").write_text(metrics)
    out = compare.figure([tmp_path / "a", tmp_path / "b"], tmp_path / "compare.png")
    assert out.stat().st_size > 1000
