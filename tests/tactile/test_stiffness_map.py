"""Maps of stiffness: neighbours, variation, what counts as found, gradients of the whole loss."""

import numpy as np
import pytest
import torch

from sciml.calculus.simplex import neighbours
from sciml.contracts import UserError
from sciml.tactile import materials
from sciml.tactile.contact import Ball
from sciml.tactile.elements import Elements
from sciml.tactile.figures.fields import inside
from sciml.tactile.inclusion import Inclusion, weighted_median
from sciml.tactile.scene import Scene
from sciml.tactile.sensor import Camera, Pinhole, Sensor, grid, looking
from sciml.tactile.shapes import block, pad
from sciml.tactile.system import Press, identify, recorded
from sciml.tactile.unknowns import Positive
from sciml.tactile.variation import TotalVariation

BALL = Inclusion(1e5, 3.0, (0.0, 0.0, 0.002), 0.0015)


def cells(n: int, size: float = 1.0) -> Elements:
    return Elements(block((size, size, size), (n, n, n)), 1)


def centroids(elements: Elements) -> np.ndarray:
    return elements.nodes[elements.cells[:, :4]].mean(1)


def test_neighbours_are_the_pairs_that_share_three_corners() -> None:
    tets = cells(2).cells[:, :4]
    pairs, faces = neighbours(tets)
    shared = {
        (i, j): set(tets[i]) & set(tets[j])
        for i in range(len(tets))
        for j in range(i)
        if len(set(tets[i]) & set(tets[j])) == 3
    }
    found = {(max(p), min(p)): set(f) for p, f in zip(pairs.tolist(), faces.tolist(), strict=True)}
    assert found == shared and len(pairs) == len(shared)


@pytest.mark.parametrize("n", [2, 4, 8])
@pytest.mark.parametrize("size", [1.0, 0.01])
def test_a_step_has_the_variation_of_its_area_on_any_mesh(n: int, size: float) -> None:
    """A jump of log 3 across the middle plane of a cube: area over the length squared is 1."""
    elements = cells(n, size)
    values = torch.from_numpy(np.where(centroids(elements)[:, 0] > size / 2, 3.0, 1.0))
    rows = TotalVariation(elements, 1e-6)(values)
    assert float(rows.square().mean()) == pytest.approx(np.log(3.0), rel=1e-5)
    twice = TotalVariation(elements, 1e-6)(2 * values)
    torch.testing.assert_close(rows, twice, rtol=1e-6, atol=1e-12)


def test_small_differences_are_smoothed_by_their_squares() -> None:
    elements = cells(3)
    rise = torch.from_numpy(1 + 1e-6 * centroids(elements)[:, 0])
    once, twice = (float(TotalVariation(elements, 0.1)(rise**k).square().mean()) for k in (1, 2))
    assert twice == pytest.approx(4 * once, rel=1e-4)


def test_the_variation_of_a_constant_is_none_with_no_slope() -> None:
    elements = cells(2)
    values = torch.full((len(elements.cells),), 2.0, dtype=torch.float64, requires_grad=True)
    TotalVariation(elements, 0.1)(values).square().mean().backward()
    assert values.grad is not None and not values.grad.any()


def gel(n: int = 10) -> Elements:
    return Elements(pad(0.01, 0.01, 0.004, (n, n, 4)), 1)


def test_the_share_of_the_ball_adds_up_to_its_volume() -> None:
    elements = gel(16)
    volume = float((BALL.share(elements) * elements.volumes).sum())
    assert volume == pytest.approx(4 / 3 * np.pi * 0.0015**3, rel=0.02)


def test_the_truth_is_found_and_a_gel_of_one_stiffness_is_not() -> None:
    elements = gel()
    true = BALL.measures(BALL.field(elements).numpy(), elements)
    assert true["found"] == 1 and true["dice"] > 0.8 and true["centre_error"] < 1e-4
    assert true["background"] == 1e5 and true["ratio"] == pytest.approx(3.0, rel=0.15)
    even = BALL.measures(np.full(len(elements.cells), 1e5), elements)
    assert even["found"] == 0 and even["dice"] == 0


@pytest.mark.parametrize(
    ("wrong", "measure"),
    [
        (Inclusion(1e5, 1 / 3, BALL.centre, BALL.radius), "ratio"),
        (Inclusion(1e5, 3.0, (0.001, 0.0, 0.002), BALL.radius), "centre_error"),
        (Inclusion(1e5, 3.0, (0.0, 0.0, 0.0032), BALL.radius), "centre_error"),
        (Inclusion(1e5, 3.0, BALL.centre, 0.0028), "dice"),
        (Inclusion(1e5, 1.3, BALL.centre, BALL.radius), "ratio"),
    ],
)
def test_what_is_elsewhere_too_large_or_too_weak_is_not_found(wrong, measure: str) -> None:
    elements = gel()
    found = BALL.measures(wrong.field(elements).numpy(), elements)
    assert found["found"] == 0, measure


def test_the_median_is_of_the_volume() -> None:
    assert weighted_median(np.array([3.0, 1.0, 2.0]), np.array([10.0, 1.0, 1.0])) == 3.0


@pytest.mark.parametrize(
    "keys", [{"ratio": 1.0}, {"value": 0.0}, {"radius": -1.0}, {"centre": (0.0, 0.0)}]
)
def test_inclusions_that_are_none_are_refused(keys) -> None:
    right = {"value": 1e5, "ratio": 2.0, "centre": (0.0, 0.0, 0.0), "radius": 1e-3}
    with pytest.raises(UserError, match="inclusion: expected"):
        Inclusion(**{**right, **keys})


def sensor(cells: tuple[int, int, int]) -> Sensor:
    camera = Camera(
        Pinhole(400.0, 400.0, 159.5, 159.5), 320, 320,
        looking([0.0, 0.0, -0.012], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]),
    )  # fmt: skip
    return Sensor(
        pad(0.01, 0.01, 0.004, cells), materials.neo_hookean(1e5, 0.4), camera,
        grid(4, 4, 0.002, 0.004), degree=1,
    )  # fmt: skip


STATIONS = [[0.0, 0.0, 0.008], [0.0, 0.0, 0.0077], [0.002, 0.001, 0.0077]]


def scene(cells: tuple[int, int, int], stations: list[list[float]] = STATIONS) -> Scene:
    return Scene(sensor(cells), Ball(0.004), stations, 1, 0.0, 1e9)


def law(E):
    return materials.neo_hookean(E, 0.4)


def system(**keys):
    recording = recorded(scene((5, 5, 3)), law, {"E": BALL})
    return identify(
        scene((4, 4, 2)), law, {"E": Positive(2e5, cells=192)}, recording, truth={"E": BALL},
        add_noise=True, **keys,
    )  # fmt: skip


def test_every_term_has_the_gradient_of_differences() -> None:
    parts = system(smooth={"E": 0.1})
    model, batch = parts.model, next(parts.data.train_dataloader(0, 0, 1))
    z = model.unknowns["E"].z
    rng = np.random.default_rng(0)
    z.data += torch.from_numpy(0.2 * rng.normal(size=len(z)))
    way = torch.from_numpy(rng.normal(size=len(z)))
    terms = parts.objective(model, batch)
    assert set(terms) == set(parts.objective.terms) == {"markers", "force", "variation_E"}
    h = 1e-4
    ends = []
    for sign in (1, -1):
        z.data += sign * h * way
        ends.append({k: float(v.detach()) for k, v in parts.objective(model, batch).items()})
        z.data -= sign * h * way
    for name, term in terms.items():
        (slope,) = torch.autograd.grad(term, z, retain_graph=True)
        expected = (ends[0][name] - ends[1][name]) / (2 * h)
        assert float(slope @ way) == pytest.approx(expected, rel=1e-5), name


def test_a_field_without_a_variation_has_two_terms_and_a_metric() -> None:
    parts = system()
    assert parts.objective.terms == ("markers", "force")
    with torch.no_grad():
        sums = parts.metric.statistics(parts.model, next(parts.data.val_dataloader()))
    found = parts.metric.value({k: float(s / w) for k, (s, w) in sums.items()})
    assert found["found/E"] == 0 and found["background/E"] == pytest.approx(2e5)
    assert "rel_error/E" not in found


def test_a_recording_in_shorter_steps_ends_where_a_long_one_does() -> None:
    """Without friction or relaxation a balance knows no way: only the steps in between differ."""
    long, short = (recorded(scene((4, 4, 2)), law, {"E": BALL}, every=n) for n in (1, 3))
    np.testing.assert_allclose(short.force, long.force, atol=1e-9)
    np.testing.assert_allclose(short.markers, long.markers, atol=1e-6)
    np.testing.assert_allclose(short.position, long.position)
    assert short.time.tolist() == [0.0, 3.0, 6.0]


def test_a_point_is_in_the_cell_whose_corners_surround_it() -> None:
    elements = gel(5)
    assert (inside(centroids(elements), elements) == np.arange(len(elements.cells))).all()


def test_one_branch_by_numbers_is_the_series_of_one() -> None:
    one = materials.relaxing(law, 0.5, 0.3, E=1e5)
    assert [series.tolist() for series in one.series] == [[0.5], [0.3]]
    with pytest.raises(UserError, match="expected tau in seconds > 0"):
        materials.relaxing(law, 0.5, 0.0, E=1e5)


def test_what_is_not_compared_is_no_term_and_no_row() -> None:
    parts = system(compared=["force"])
    assert parts.objective.terms == ("force",)
    rows = parts.objective.residuals(parts.model, next(parts.data.val_dataloader()))
    assert {name: len(r) for name, r in rows.items()} == {"force": 6}
    with pytest.raises(UserError, match="compared: expected some of"):
        system(compared=["pressure"])


def test_variations_of_what_is_no_field_are_refused() -> None:
    with pytest.raises(UserError, match="expected unknown fields, of which there are"):
        system(smooth={"nu": 0.1})


def press(cells: tuple[int, int, int], *places: tuple[float, float]) -> Press:
    first, *_ = places
    stations = [[*first, 0.008], *([x, y, 0.0077] for x, y in places)]
    recording = recorded(scene((5, 5, 3), stations), law, {"E": BALL})
    return Press(scene(cells, stations), recording)


def test_shares_of_ranks_have_the_terms_gradients_and_traces_of_all_presses() -> None:
    """Three presses of one and two steps for two ranks, and a variation that both have whole."""
    more = [press((4, 4, 2), (-0.002, 0.0)), press((4, 4, 2), (0.0, -0.002))]
    parts = system(smooth={"E": 0.1}, more=more)
    model, objective = parts.model, parts.objective
    z = model.unknowns["E"].z
    z.data += torch.from_numpy(0.2 * np.random.default_rng(0).normal(size=len(z)))

    def of(rank: int, ranks: int) -> dict[str, torch.Tensor]:
        batch = next(parts.data.train_dataloader(0, rank, ranks))
        rows, signs = objective.residuals(model, batch), objective.signs(batch, 3)
        found = {}
        for name, term in objective(model, batch).items():
            found[name] = term.detach()
            ways = (2 * rows[name] / len(rows[name]), signs[name] / len(rows[name]) ** 0.5)
            for key, way in zip(("gradient", "trace"), ways, strict=True):
                (row,) = torch.autograd.grad(rows[name], z, way, retain_graph=True)
                found[f"{name} {key}"] = row
        return found

    alone, shares = of(0, 1), [of(rank, 2) for rank in (0, 1)]
    for name, whole in alone.items():
        mean = (shares[0][name] + shares[1][name]) / 2
        torch.testing.assert_close(mean, whole, rtol=1e-9, atol=1e-12, msg=name)
    with pytest.raises(UserError, match="expected one for each of 4 ranks, got 3; set trainer"):
        parts.data.train_dataloader(0, 0, 4)


def test_more_presses_leave_less_unknown() -> None:
    more = [press((4, 4, 2), (-0.002, 0.0))]
    bounds = []
    for keys in ({}, {"more": more}):
        parts = system(**keys)
        (found,) = parts.predictor(parts.model, {})
        bounds.append(found.E_bound.values)
    assert (bounds[1] <= bounds[0] * (1 + 1e-12)).all() and (bounds[1] < 0.9 * bounds[0]).any()


def test_fields_of_presses_on_unlike_meshes_are_refused() -> None:
    with pytest.raises(UserError, match="more: expected the mesh of the first press"):
        system(more=[press((4, 4, 1), (0.0, 0.0))])
