"""Fields answer by name with `[n]`, correct a mistyped name, and record what is asked for."""

import pytest
import torch

from sciml.contracts import UserError
from sciml.pinn.fields import Fields, check_shape, record
from sciml.pinn.points import Points

X = torch.tensor([[0.0, 1.0, 5.0], [2.0, 3.0, 6.0]])
NORMAL = torch.tensor([[0.6, 0.8, 0.0], [1.0, 0.0, 0.0]])
POINTS = Points(X, normal=NORMAL, target={"u": X[:, 0]}, image=X + 1)
COORDINATES = ("x", "y", "t")
VALUES = {"u": torch.tensor([1.0, 2.0]), "u_x": torch.tensor([10.0, 20.0])}
FIELDS = Fields(
    COORDINATES, POINTS, {**VALUES, "u_y": torch.tensor([100.0, 200.0])}, {"u": VALUES["u"] * 3}
)


def test_coordinates_and_fields_by_name():
    assert torch.equal(FIELDS.y, X[:, 1])
    assert torch.equal(FIELDS.t, X[:, 2])
    assert FIELDS.u is FIELDS["u"] is VALUES["u"]
    assert len(FIELDS) == 2


def test_normal_derivative_sums_over_space():
    """0.6·10 + 0.8·100 = 86 and 1·20 + 0·200 = 20."""
    assert torch.equal(FIELDS.normal_derivative("u"), torch.tensor([86.0, 20.0]))


def test_targets_and_images():
    assert torch.equal(FIELDS.target("u"), X[:, 0])
    assert torch.equal(FIELDS.at_image.u, 3 * VALUES["u"])
    assert torch.equal(FIELDS.at_image.x, X[:, 0] + 1)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda f: f.u_xz, "did you mean 'u_x'"),
        (lambda f: f.velocity, "known: x, y, t, u"),
        (lambda f: f.target("v"), "did you mean|known: u"),
        (lambda f: Fields(("x",), Points(X[:, :1]), VALUES).t, "over_time"),
        (lambda f: Fields(("x",), Points(X[:, :1]), VALUES).u_t, "over_time"),
        (lambda f: Fields(COORDINATES, Points(X)).normal, "without normals"),
        (lambda f: Fields(COORDINATES, Points(X)).at_image, "without images"),
        (lambda f: Fields(COORDINATES, Points(X)).target("u"), "have none"),
    ],
)
def test_what_is_not_there_is_explained(ask, message):
    with pytest.raises(UserError, match=message):
        ask(FIELDS)


def test_recording_notes_names_here_and_at_the_image():
    def residual(f):
        return f.u_tt + f.normal_derivative("u") * f.x + f["psi_xyy"] - f.at_image.u_x

    answer, asked = record(residual, ("u", "psi"), COORDINATES, POINTS)
    assert asked.names == {"u_tt", "u_x", "u_y", "psi_xyy"}
    assert asked.image == {"u_x"}
    assert answer.shape == (2,)


@pytest.mark.parametrize("name", ["v", "u_", "u_q", "u_xq", "uu_x"])
def test_recording_refuses_names_that_are_no_fields(name):
    with pytest.raises(UserError, match="expected a coordinate or a field"):
        record(lambda f: f[name], ("u",), COORDINATES, POINTS)


def test_recording_suggests_a_second_derivative():
    with pytest.raises(UserError, match="did you mean 'u_xx'"):
        record(lambda f: f.u_xxs, ("u",), COORDINATES, POINTS)


@pytest.mark.parametrize(
    "value", [torch.ones(2, 1), torch.ones(2, 2), torch.ones(3), torch.tensor(1.0), 1.0, None]
)
def test_only_one_number_per_point_is_a_residual(value):
    with pytest.raises(UserError, match=r"expected a tensor of shape \[2\]"):
        check_shape("residual", value, 2)


def test_points_move_only_if_something_changes():
    assert POINTS.to("cpu", torch.float32) is POINTS
    moved = POINTS.to("cpu", torch.float64)
    for tensor in (moved.x, moved.normal, moved.image, moved.target["u"]):
        assert tensor.dtype == torch.float64
