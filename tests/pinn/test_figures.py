"""The figures of made-up run folders: which are drawn, and that captions tell the numbers."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure
from oracles import run_folders

from sciml.contracts import UserError
from sciml.pinn.figures import Figures, fields, gradients

PNG = b"\x89PNG\r\n\x1a\n"


def figures(*unknowns: str, derived: tuple[str, ...] = ()) -> Figures:
    return Figures(SimpleNamespace(unknowns=unknowns, derived=dict.fromkeys(derived)))


def drawn(make: Callable[[Path], Path], run: Path, draw: Figures) -> dict[str, str]:
    found = draw(make(run))
    for path, _ in found:
        assert path.parent == run / "figures"
        assert path.read_bytes().startswith(PNG)
    return {path.stem: caption for path, caption in found}


def test_a_field_with_an_exact_solution(tmp_path: Path) -> None:
    captions = drawn(run_folders.helmholtz, tmp_path, figures("u"))
    assert list(captions) == ["fields", "training", "errors", "gradients"]
    # u is 1 % too large everywhere: relative error 0.01, largest error 0.01 max|u|
    assert "relative l2 error 0.01 against the exact solution" in captions["fields"]
    assert "largest error 1.0×10⁻² at x = -0.5" in captions["fields"]
    assert "After 213 CPU-seconds: rel_l2/u 0.0175" in captions["errors"]
    assert "after 4,400 steps: residual" in captions["training"]
    # the made-up residual spreads 20 times as wide as the walls at the start and twice at the end
    assert "at step 4,400 residual spreads 2.0" in captions["gradients"]


@pytest.mark.parametrize("make", [run_folders.burgers, run_folders.line])
def test_time_and_one_dimension(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    captions = drawn(make, tmp_path, figures("u"))
    if make is run_folders.burgers:
        assert "Profiles at four times from t = 0 to 1" in captions["snapshots"]
    else:
        # error 0.1 x on [0, 2], so 0.2 at the end
        assert captions == {"lines": captions["lines"]}
        assert "largest error 0.2 at x = 2." in captions["lines"]


def test_a_flow_shows_streamlines_and_centrelines(tmp_path: Path) -> None:
    captions = drawn(run_folders.cavity, tmp_path, figures("psi", "p", derived=("u", "v")))
    assert list(captions)[:3] == ["fields", "predictions", "flow"]
    # at x = 1/2 the exact u = y (3y - 2) is 1 on the lid; the added error vanishes there
    assert "at most 1 at x = 0.5, y = 1." in captions["flow"]
    assert captions["predictions"].index("psi") < captions["predictions"].index("p lies")


def test_a_run_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected result.nc in .*evaluate the run first"):
        figures("u")(tmp_path)


def test_points_outside_the_domain_are_left_white(tmp_path: Path) -> None:
    x = y = np.linspace(-1, 1, 41)
    inside = x**2 + y[:, None] ** 2 <= 1
    u = np.where(inside, 1 - x**2 - y[:, None] ** 2, np.nan)
    run_folders.write_result(tmp_path, {"u": 1.1 * u}, {"u": u}, {"y": y, "x": x}, "exact")
    captions = {path.stem: caption for path, caption in figures("u")(tmp_path)}
    assert "relative l2 error 0.1 against" in captions["fields"]
    assert "largest error 0.1 at x = 0, y = 0." in captions["fields"]


def test_phases_that_train_different_layers(tmp_path: Path) -> None:
    """The first layer is trained at the end alone; its panels before are empty."""
    run = run_folders.helmholtz(tmp_path)
    with np.load(run / "gradients.npz") as file:
        arrays = {k: file[k] for k in file.files}
    kept = {k: v for k, v in arrays.items() if "hidden.0" not in k or "_end_" in k}
    assert len(kept) < len(arrays)
    np.savez(run / "gradients.npz", **kept)
    ((picture, caption),) = gradients.draw(run / "gradients.npz", run)
    assert picture.read_bytes().startswith(PNG)
    assert "at step 4,400 residual spreads 2.0" in caption


@pytest.mark.filterwarnings("error")
def test_a_truth_of_zero_and_a_constant_field_are_drawn(tmp_path: Path) -> None:
    x, zero = np.linspace(0, 1, 5), np.zeros((5, 5))
    fields = {"u": zero, "w": zero + 2}
    run_folders.write_result(tmp_path, fields, {"u": zero}, {"y": x, "x": x}, "exact")
    captions = {path.stem: caption for path, caption in figures("u")(tmp_path)}
    assert "u: zero exact solution; largest error 0 at" in captions["fields"]
    assert "w lies between 2 and 2" in captions["predictions"]


def test_a_field_in_space_and_time_is_cut_at_its_last_time(tmp_path: Path) -> None:
    t, y, x = np.linspace(0, 3, 4), np.linspace(0, 1, 5), np.linspace(0, 2, 9)
    u = t[:, None, None] + y[:, None] + x
    run_folders.write_result(tmp_path, {"u": u}, {}, {"t": t, "y": y, "x": x}, "exact")
    captions = {path.stem: caption for path, caption in figures("u")(tmp_path)}
    assert captions == {"predictions": "Prediction, at t = 3. u lies between 3 and 6."}


def test_density_integrates_to_one_and_spread_is_the_standard_deviation() -> None:
    rng = np.random.default_rng(0)
    values = 0.3 * rng.standard_normal(20_000)
    edges = np.linspace(-3, 3, 102)
    counts = np.histogram(values, edges)[0]
    width = edges[1] - edges[0]
    assert gradients.density(counts, edges).sum() * width == pytest.approx(1, abs=1e-3)
    # inside one bin values are taken as even, which adds width²/12 twice over
    assert gradients.spread(counts, edges) == pytest.approx(0.3, rel=0.03)


def test_layers_of_the_main_stack() -> None:
    names = ["network.hidden.0.weight", "network.hidden.0.bias", "network.encoder_u.weight"]
    names += ["network.embedding.frequencies", "network.output.weight", "viscosity"]
    main = gradients.layers(names)
    assert main == ["network.hidden.0.weight", "network.output.weight", "viscosity"]
    assert [gradients.title(n) for n in main] == ["hidden layer 1", "output layer", "viscosity"]


def test_signed_fields_are_centred_and_others_not() -> None:
    x = np.linspace(-1, 1, 9)
    signed = xarray.DataArray(x, dims="x")
    norm, colours = fields.colours_of(signed)
    assert (norm(0.0), colours) == (0.5, "RdBu_r")
    assert fields.colours_of(abs(signed))[1] == "viridis"


def test_short_axes_of_gradients_label_powers_of_ten_alone(tmp_path: Path) -> None:
    edges = np.linspace(-1, 1, 102)
    even = {"edges_end_w": edges, "counts_end_r_w": np.full(101, 4)}
    axes = Figure().subplots()
    gradients._draw_panel(axes, even, "end", "w", ["r"])
    axes.figure.draw_without_rendering()
    assert not any(label.get_text() for label in axes.yaxis.get_ticklabels(minor=True))
