"""A network that holds transforms leaves as a torch program and as ONNX, with any batch size."""

import warnings

import pytest
import torch
from torch import nn

from sciml.calculus.sphere import Harmonics, ReducedGaussian, gauss
from tests.calculus.sphere.waves import named

GRIDS = [gauss(8), ReducedGaussian(4)]


class Filter(nn.Module):
    """Learned weights by degree on the wind's vorticity and divergence, and on a scalar."""

    def __init__(self, grid):
        super().__init__()
        self.harmonics = Harmonics(grid, 3)
        self.weight = nn.Parameter(torch.rand(4, 1, 1, generator=torch.Generator().manual_seed(0)))

    def forward(self, state):
        u, v, f = state.unbind(1)
        rotation = self.harmonics.vorticity_divergence(u, v)
        u, v = self.harmonics.wind(*(self.weight * alpha for alpha in rotation))
        east, _ = self.harmonics.gradient(self.weight * self.harmonics.analysis(f))
        return torch.stack([u, v, east], 1)


def state(grid, batch):
    return torch.randn(batch, 3, *grid.shape, generator=torch.Generator().manual_seed(batch))


@pytest.mark.parametrize("grid", [GRIDS[0], pytest.param(GRIDS[1], marks=pytest.mark.slow)])
def test_torch_program(grid, dynamic):
    network = Filter(grid).eval()
    program = torch.export.export(network, (state(grid, 2),), dynamic_shapes=dynamic).module()
    for batch in (1, 5):
        torch.testing.assert_close(program(state(grid, batch)), network(state(grid, batch)))


@pytest.mark.slow
@pytest.mark.parametrize("grid", GRIDS, ids=named)
def test_onnx(grid, dynamic, tmp_path):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="the export extra is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    network, path = Filter(grid).eval(), tmp_path / "filter.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (state(grid, 2),), dynamo=True, dynamic_shapes=dynamic, verbose=False
        )
    program.save(path)
    session = runtime.InferenceSession(path)
    for batch in (1, 2, 5):
        x = state(grid, batch)
        (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        torch.testing.assert_close(torch.from_numpy(y), network(x).detach(), rtol=1e-5, atol=1e-5)


@pytest.fixture
def dynamic():
    return {"state": {0: torch.export.Dim("batch", min=1, max=1024)}}
