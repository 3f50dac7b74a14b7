"""Jacobians from one backward pass against one backward pass per row."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sciml.calculus.pointwise import autograd, taylor
from sciml.calculus.pointwise.affine_maps import Capture, Streams, outer
from sciml.calculus.pointwise.per_sample import Columns, backward, exact


def draw(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def by_rows(rows, leaves):
    """The oracle: every row differentiated alone."""
    return torch.stack(
        [
            torch.cat(
                [
                    g.flatten()
                    for g in torch.autograd.grad(
                        row, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
                    )
                ]
            )
            for row in rows
        ]
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_outer_products_are_summed_over_streams(dtype):
    a, z = draw(3, 5, 2, dtype=dtype), draw(3, 5, 4, dtype=dtype, seed=1)
    out = torch.full((5, 2, 4), float("nan"), dtype=dtype)
    outer(a, z, out)
    expected = sum(a[s, :, :, None].double() * z[s, :, None, :].double() for s in range(3))
    assert torch.allclose(out.double(), expected, rtol=4 * torch.finfo(dtype).eps * 8, atol=0.05)


def test_what_is_noted_is_one_map_for_each_linear_layer_with_trained_weights():
    first, last = nn.Linear(2, 3).requires_grad_(False), nn.Linear(3, 5)
    capture = Capture()

    def network(x):
        with capture.points(4):
            return last(torch.tanh(first(x)))

    taylor.derivatives(network, torch.rand(4, 2), ("u", "v", "w", "p", "q"), ("x", "y"), {"u_x"})
    ((use,),) = capture.groups
    assert isinstance(use, Streams)
    assert use.weight is last.weight
    assert use.bias is last.bias
    assert use.inputs.shape == (2, 4, 3)  # the value and the derivative by x
    assert use.outputs.shape == (2, 4, 5)


LEAVES = {"w": (3, 2), "b": (3,), "v": (1, 3), "gain": (1,)}


def tangled(leaves):
    """A weight used twice, a weight made of parameters, and a gain outside of all layers."""

    def network(x):
        h = torch.tanh(functional.linear(x, leaves["w"], leaves["b"]))
        h = torch.sin(functional.linear(x * 2.0, leaves["w"])) + h * leaves["gain"]
        return functional.linear(h, leaves["v"] * leaves["gain"])

    return network


@pytest.mark.parametrize("streams", [True, False])
def test_shared_derived_and_loose_parameters(streams):
    leaves = {
        name: draw(*shape, seed=i).requires_grad_()
        for i, (name, shape) in enumerate(LEAVES.items())
    }
    x, network = draw(6, 2, seed=9), tangled(leaves)
    names = ("u",), ("x", "y"), {"u", "u_xy", "u_xx"}

    def rows(derivatives, function):
        f = derivatives(function, x, *names)
        return f["u_xx"] * f["u"] + f["u_xy"]

    capture, columns = Capture(streams), Columns(leaves)

    def noted(z):
        with capture.points(len(x)):
            return network(z)

    r = rows(taylor.derivatives if streams else autograd.derivatives, noted)
    adjoints, loose = backward([r], capture, columns)
    assert loose == {3}
    jacobian = columns.room(r)
    columns.fill(jacobian, [(capture.groups[0], adjoints[0], slice(0, 6))])
    columns.add_loose({"r": r}, {"r": jacobian}, loose)
    expected = by_rows(rows(autograd.derivatives, network), tuple(leaves.values()))
    assert (jacobian - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize("n", [3, 12])
def test_the_exact_way_by_rows_and_by_columns(n):
    """P = 7: three rows are differentiated one by one, twelve column by column."""
    leaves = (draw(5).requires_grad_(), draw(2, seed=1).requires_grad_())
    x = draw(n, 5, seed=2)
    rows = torch.tanh(x @ leaves[0]) * leaves[1][0] + (x @ leaves[0]).mean()  # leaves[1][1] unused
    found, expected = exact(rows, leaves), by_rows(rows, leaves)
    assert found.shape == (n, 7)
    assert not found.requires_grad
    assert torch.allclose(found, expected, rtol=1e-13, atol=1e-14)


def test_rows_that_depend_on_nothing_have_a_zero_jacobian():
    leaf = draw(3).requires_grad_()
    assert torch.equal(exact(draw(4), (leaf,)), torch.zeros(4, 3, dtype=torch.float64))
