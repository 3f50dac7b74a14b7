"""The compiled function against the eager one: values, gradients of each, mistakes."""

import hashlib
import subprocess
import sys

import pytest
import torch
from torch.func import functional_call

from sciml.calculus.pointwise import autograd, taylor
from sciml.calculus.pointwise.compiled import compile
from sciml.contracts import UserError
from sciml.pinn.networks import Gated

WAYS = {"autograd": autograd.derivatives, "taylor": taylor.derivatives}


def helmholtz(derivatives, dtype=torch.float64):
    """Two loss terms of a small network as a function of (interior, wall, *parameters)."""
    network = Gated(2, 1, 6, 1, torch.Generator().manual_seed(0)).to(dtype)
    names = [name for name, _ in network.named_parameters()]
    source = torch.linspace(-1, 1, 8, dtype=dtype)

    def terms(interior, wall, *parameters):
        def u(x):
            return functional_call(network, dict(zip(names, parameters, strict=True)), (x,))

        f = derivatives(u, interior, ("u",), ("x", "y"), {"u", "u_xx", "u_yy"})
        residual = f["u_xx"] + f["u_yy"] + f["u"] - source
        return torch.stack((residual.square().mean(), u(wall).square().mean()))

    draw = torch.Generator().manual_seed(1)
    points = [torch.rand(n, 2, dtype=torch.float64, generator=draw).to(dtype) for n in (8, 5)]
    return terms, (*points, *network.parameters()), source


def rows(function, inputs):
    """Values `[K]` and the gradients of each, by K backward passes through one graph."""
    values = function(*inputs)
    trained = [tensor for tensor in inputs if tensor.requires_grad]
    gradients = [torch.autograd.grad(v, trained, retain_graph=True) for v in values for _ in "ab"]
    flat = [torch.cat([g.flatten() for g in gradient]) for gradient in gradients]
    return values.detach(), torch.stack(flat)


@pytest.mark.parametrize(
    ("way", "dtype"),
    [
        ("autograd", torch.float64),
        ("taylor", torch.float32),
        pytest.param("autograd", torch.float32, marks=pytest.mark.slow),
        pytest.param("taylor", torch.float64, marks=pytest.mark.slow),
    ],
)
def test_values_and_rows(way, dtype):
    function, inputs, source = helmholtz(WAYS[way], dtype)
    compiled = compile(function, inputs)
    tolerance = 1e-12 if dtype == torch.float64 else 2e-5
    for _ in range(2):
        expected, found = rows(function, inputs), rows(compiled, inputs)
        for a, b in zip(expected, found, strict=True):
            assert (a - b).norm() <= tolerance * a.norm()
        assert torch.equal(found[1][0], found[1][1])  # the same row asked for twice
        source.add_(1.0)  # a tensor that the function holds on to is read anew
    with torch.no_grad():
        torch.testing.assert_close(compiled(*inputs), function(*inputs))


def test_a_second_derivative_is_refused_rather_than_wrong():
    weight = torch.ones(3, requires_grad=True)
    compiled = compile(lambda w: (w**3).sum()[None], (weight,))
    with pytest.raises(RuntimeError, match="expected one derivative, got create_graph=True"):
        torch.autograd.grad(compiled(weight)[0], weight, create_graph=True)


def test_mistakes():
    x, weight = torch.ones(4, 2), torch.ones(2, requires_grad=True)

    def function(x, w):
        return (x @ w).square().mean()[None]

    with pytest.raises(UserError, match="at least one input that requires a gradient"):
        compile(function, (x, weight.detach()))
    with pytest.raises(UserError, match="pass it as an input"):
        compile(lambda w: ((x @ weight) * w.sum())[None], (torch.ones(2, requires_grad=True),))
    compiled = compile(function, (x, weight))
    with pytest.raises(UserError, match=r"input 0 of shape \(4, 2\).* got \(5, 2\)"):
        compiled(torch.ones(5, 2), weight)
    with pytest.raises(UserError, match="expected 2 inputs, got 1"):
        compiled(x)


def digest():
    """Fingerprint of values and rows to the last bit."""
    function, inputs, _ = helmholtz(WAYS["taylor"], torch.float32)
    found = rows(compile(function, inputs), inputs)
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in found)).hexdigest()


def test_two_processes_agree_to_the_last_bit():
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=True, timeout=240
    )
    assert done.stdout.split()[-1] == digest()


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(digest())
