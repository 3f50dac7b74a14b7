"""Self-scaled quasi-Newton methods: the update's identities, convergence, restarts, resume."""

import io
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sciml.contracts import UserError
from sciml.training.least_squares import memory
from sciml.training.optimizers import self_scaled
from sciml.training.optimizers.scaling import bfgs, ssbfgs, ssbroyden
from sciml.training.optimizers.self_scaled import SelfScaled, refuse_too_large, update

SCALINGS = [bfgs, ssbfgs, ssbroyden]
every_scaling = pytest.mark.parametrize("scaling", SCALINGS, ids=lambda s: s.__name__)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def definite(n: int, seed: int = 0) -> torch.Tensor:
    a = numbers(n, n, seed=seed)
    return a @ a.T + 0.1 * torch.eye(n, dtype=torch.float64)


def pair(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """s and a y with y·s > 0."""
    s = numbers(n, seed=seed)
    return s, definite(n, seed + 1) @ s


def ratios(inverse, s, y) -> tuple[float, float]:
    ys = s @ y
    return float(s @ torch.linalg.solve(inverse, s) / ys), float(y @ inverse @ y / ys)


@every_scaling
@pytest.mark.parametrize("seed", range(8))
def test_the_update_keeps_secant_equation_symmetry_and_definiteness(scaling, seed):
    n = 12
    inverse, (s, y) = definite(n, 100 + seed), pair(n, seed)
    update(inverse, s, y, *scaling(*ratios(inverse, s, y), n))
    torch.testing.assert_close(inverse @ y, s, rtol=1e-9, atol=1e-9)
    assert torch.equal(inverse, inverse.T)
    assert float(torch.linalg.eigvalsh(inverse)[0]) > 0


def test_bfgs_is_the_product_form():
    """H⁺ = (I - s yᵀ/y·s) H (I - y sᵀ/y·s) + s sᵀ/y·s, Nocedal & Wright 2006, equation 6.17."""
    inverse, (s, y) = definite(9), pair(9, 3)
    left = torch.eye(9, dtype=torch.float64) - torch.outer(s, y) / (s @ y)
    expected = left @ inverse @ left.T + torch.outer(s, s) / (s @ y)
    update(inverse, s, y, *bfgs(1.0, 1.0, 9))
    torch.testing.assert_close(inverse, expected, rtol=1e-11, atol=1e-11)


def hessian_form(hessian: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Al-Baali & Khalfan's update of B itself, with their θ and τ, in NumPy.

    B⁺ = τ [B - B s sᵀB / sᵀBs + θ w wᵀ] + y yᵀ / y·s,   w = √(sᵀBs) [y / y·s - B s / sᵀBs]
    """
    n, ys, bs = len(s), s @ y, hessian @ s
    b, h = s @ bs / ys, y @ np.linalg.solve(hessian, y) / ys
    a = b * h - 1
    root = np.sqrt(a / (1 + a))
    least = min(1.0, h * (1 - root))
    theta = np.clip((1 - b) / b, (least - 1) / a, 1 / least)
    volume = np.abs(1 + a * theta) ** (-1 / (n - 1))
    if theta > 0:
        tau = min(1.0, 1 / b) * min(volume, 1 / theta)
    else:
        tau = min(min(1.0, 1 / b) * volume, 1 + a * theta)
    w = np.sqrt(s @ bs) * (y / ys - bs / (s @ bs))
    inner = hessian - np.outer(bs, bs) / (s @ bs) + theta * np.outer(w, w)
    return tau * inner + np.outer(y, y) / ys


@pytest.mark.parametrize("seed", range(20))
def test_ssbroyden_is_the_inverse_of_the_update_of_the_hessian(seed):
    n = 7
    scale = 10.0 ** (seed % 5 - 2)  # b from far below to far above 1
    hessian, (s, y) = definite(n, 50 + seed).numpy() * scale, pair(n, seed)
    inverse = torch.from_numpy(np.linalg.inv(hessian))
    inverse = (inverse + inverse.T) / 2
    update(inverse, s, y, *ssbroyden(*ratios(inverse, s, y), n))
    expected = np.linalg.inv(hessian_form(hessian, s.numpy(), y.numpy()))
    np.testing.assert_allclose(inverse.numpy(), expected, rtol=1e-6, atol=1e-9 / scale)


def test_ssbfgs_scales_down_the_hessian_only():
    assert ssbfgs(4.0, 1.0, 5) == (0.25, 1.0)
    assert ssbfgs(0.5, 3.0, 5) == (1.0, 1.0)


def closure_of(function, x: nn.Parameter):
    def closure():
        x.grad = None
        loss = function(x)
        loss.backward()
        return loss.detach()

    return closure


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


@every_scaling
@pytest.mark.parametrize("logarithm", [False, True])
def test_rosenbrock_in_ten_dimensions(scaling, logarithm):
    x = nn.Parameter(torch.tensor([-1.2, 1.0] * 5, dtype=torch.float64))
    optimizer = SelfScaled([x], scaling, logarithm=logarithm)
    steps = 0
    while optimizer.step(closure_of(rosenbrock, x)) > 1e-22:
        steps += 1
        assert steps < 20
    assert float((x.detach() - 1).abs().max()) < 1e-10


@every_scaling
def test_exact_line_searches_end_on_a_quadratic_after_n_iterations(scaling):
    """Broyden's family makes conjugate directions there, scaled or not; BFGS ends with H = A⁻¹."""
    n = 8
    a, x = definite(n), nn.Parameter(numbers(n, seed=5))
    optimizer = SelfScaled([x], scaling, logarithm=False, iterations=1, c1=1e-12, c2=1e-10)
    closure = closure_of(lambda x: x @ a @ x / 2 + 1, x)
    before = float((a @ x.detach()).norm())
    for _ in range(n - 1):
        optimizer.step(closure)
    assert float((a @ x.detach()).norm()) > 1e-6 * before
    optimizer.step(closure)
    assert float((a @ x.detach()).norm()) < 1e-8 * before
    if scaling is bfgs:
        inverse = optimizer.state[x]["inverse"]
        torch.testing.assert_close(inverse, torch.linalg.inv(a), rtol=1e-6, atol=1e-6)


def test_good_steps_cost_one_gradient_each():
    x = nn.Parameter(torch.tensor([-1.2, 1.0] * 20, dtype=torch.float64))
    optimizer = SelfScaled([x], bfgs, logarithm=False, iterations=100)
    optimizer.step(closure_of(rosenbrock, x))
    kept = optimizer.state[x]
    assert kept["iterations"] == 100 and kept["evaluations"] <= 115


def test_the_logarithm_forgets_the_size_of_the_loss():
    ends = []
    for size in (1.0, 2.0**-60):
        x = nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
        SelfScaled([x]).step(closure_of(lambda x, size=size: size * rosenbrock(x), x))
        ends.append(x.detach())
    torch.testing.assert_close(*ends, rtol=1e-6, atol=0)


def test_pairs_are_of_one_batch():
    """f = (x - c)ᵀA(x - c)/2 with another c at every step: y = A s only where c is the same."""
    a, x = definite(5), nn.Parameter(numbers(5))
    optimizer = SelfScaled([x], iterations=1, logarithm=False)
    for step in range(12):
        c, before = 3 * numbers(5, seed=step), x.detach().clone()
        optimizer.step(closure_of(lambda x, c=c: (x - c) @ a @ (x - c) / 2, x))
        s = x.detach() - before
        inverse = optimizer.state[x]["inverse"]
        torch.testing.assert_close(inverse @ (a @ s), s, rtol=1e-8, atol=1e-8)


def test_a_direction_uphill_starts_anew_and_goes_on():
    x = nn.Parameter(torch.tensor([-1.2, 1.0] * 5, dtype=torch.float64))
    optimizer = SelfScaled([x], logarithm=False)
    closure = closure_of(rosenbrock, x)
    optimizer.step(closure)
    optimizer.state[x]["inverse"].neg_()
    for _ in range(10):
        optimizer.step(closure)
    assert optimizer.state[x]["resets"] >= 1
    assert float((x.detach() - 1).abs().max()) < 1e-10


def test_a_search_that_found_nothing_begins_nearer_at_the_next_step():
    """One trial a search on 1e6 x² at 0.0051: 0.1 leads beyond, 0.01 just inside of the mirror."""
    x = nn.Parameter(torch.tensor([0.0051], dtype=torch.float64))
    optimizer = SelfScaled([x], logarithm=False, evaluations=1, iterations=1)
    closure = closure_of(lambda x: 1e6 * (x**2).sum(), x)
    optimizer.step(closure)
    assert x.item() == 0.0051
    optimizer.step(closure)
    assert x.item() == pytest.approx(-0.0049)


def test_a_gradient_that_never_leads_down_leaves_a_length():
    x = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = SelfScaled([x], logarithm=False, evaluations=1, iterations=1)

    def closure():
        x.grad = torch.ones_like(x)
        return 1 + 5 * x.detach().abs().sum()

    for _ in range(30):
        optimizer.step(closure)
    assert x.item() == 0 and 0 < optimizer.state[x]["length"] < 1e-9


def test_at_the_minimum_nothing_moves_and_another_loss_is_taken_up():
    x = nn.Parameter(torch.ones(4, dtype=torch.float64))
    optimizer = SelfScaled([x])
    assert float(optimizer.step(closure_of(rosenbrock, x))) == 0
    assert torch.equal(x.detach(), torch.ones(4, dtype=torch.float64))
    optimizer.step(closure_of(lambda x: ((x - 2) ** 2).sum() + 1, x))
    torch.testing.assert_close(x.detach(), torch.full((4,), 2.0, dtype=torch.float64))


@every_scaling
def test_saved_and_loaded_goes_on_bit_by_bit(scaling):
    def three_more(x, optimizer):
        for _ in range(3):
            optimizer.step(closure_of(rosenbrock, x))
        return x.detach().clone()

    make = partial(SelfScaled, scaling=scaling, iterations=3)
    x = nn.Parameter(torch.tensor([-1.2, 1.0] * 3, dtype=torch.float64))
    optimizer = make([x])
    three_more(x, optimizer)
    file = io.BytesIO()
    torch.save({"x": x.detach(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    expected = three_more(x, optimizer)
    saved = torch.load(file, weights_only=True)
    other = nn.Parameter(saved["x"])
    loaded = make([other])
    loaded.load_state_dict(saved["optimizer"])
    assert torch.equal(three_more(other, loaded), expected)


def test_what_does_not_fit_is_refused_with_the_number(monkeypatch):
    monkeypatch.setattr(self_scaled, "free_bytes", lambda device: 2**30)
    with pytest.raises(UserError, match=r"of 20000 parameters takes 3\.0 GiB, 1\.0 GiB are free"):
        SelfScaled([nn.Parameter(torch.zeros(20_000))])
    assert memory.free_bytes(torch.device("cpu")) > 0
    refuse_too_large(1000, torch.device("cpu"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"c1": 0.9, "c2": 0.1}, "0 < c1 < c2 < 1"),
        ({"iterations": 0}, "iterations, evaluations >= 1"),
        ({"length": 0.0}, "length > 0"),
    ],
)
def test_numbers_are_checked(keys, message):
    with pytest.raises(UserError, match=message):
        SelfScaled([nn.Parameter(torch.zeros(2))], **keys)


def test_what_a_step_needs_is_said_in_one_line():
    x = nn.Parameter(torch.zeros(2))
    with pytest.raises(UserError, match=r"float64, got torch.float32; set phases.NAME.precision"):
        SelfScaled([x]).step(closure_of(rosenbrock, x))
    x = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    with pytest.raises(UserError, match=r"call step\(closure\)"):
        SelfScaled([x]).step()
    with pytest.raises(UserError, match=r"loss > 0 for its logarithm, got -3; set optimizer.log"):
        SelfScaled([x]).step(closure_of(lambda x: x.sum() - 3, x))
