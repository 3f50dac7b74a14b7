"""Taylor streams of a network become one ordinary graph with a free number of points."""

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from sciml.calculus.pointwise import taylor
from sciml.pinn.networks import MLP, Gated

NAMES = ("u", "u_x", "u_xx")


class Streams(nn.Module):
    """u, u_x, u_xx of a network, as an exported surrogate offers them."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        found = taylor.derivatives(self.network, x, ("u",), ("x", "y"), NAMES)
        return tuple(found[name] for name in NAMES)


@pytest.fixture(params=[MLP, Gated])
def streams(request):
    return Streams(request.param(2, 1, 8, 2, torch.Generator().manual_seed(0)))


def test_make_fx(streams):
    x = torch.rand(5, 2)
    graph = make_fx(streams, tracing_mode="symbolic", _allow_non_fake_inputs=True)(x)
    other = torch.rand(11, 2)
    torch.testing.assert_close(graph(other), streams(other))


def test_export(streams):
    dynamic = ({0: torch.export.Dim("points", min=1)},)
    program = torch.export.export(streams, (torch.rand(5, 2),), dynamic_shapes=dynamic)
    other = torch.rand(11, 2)
    torch.testing.assert_close(program.module()(other), streams(other))
