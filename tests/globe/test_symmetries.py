"""Turned and mirrored samples are solutions as good as the sample itself."""

import numpy as np
import pytest
import torch

from sciml.calculus.sphere import Harmonics
from sciml.calculus.sphere.grids import LatLon, equiangular, gauss
from sciml.contracts import UserError
from sciml.globe.channels import Channels
from sciml.globe.symmetries import Symmetries, move

CHANNELS = Channels.named(["z500", "u500", "v500", "vort500", "d500"])
GRID = gauss(16)


def moved(fields: np.ndarray, signs: np.ndarray, turn: int, mirror: bool) -> np.ndarray:
    there = np.empty_like(fields)
    move(fields, signs, turn, mirror, there)
    return there


def wind() -> tuple[Harmonics, torch.Tensor]:
    """A state (z, u, v, ζ, δ) `[5, lat, lon]` whose ζ and δ are those of (u, v)."""
    harmonics = Harmonics(GRID, 10, 1.0).double()
    rng = np.random.default_rng(0)
    coefficients = torch.from_numpy(rng.normal(size=(3, 11, 11, 2)))
    coefficients[1:, 0] = 0
    z, zeta, delta = harmonics.synthesis(harmonics.analysis(harmonics.synthesis(coefficients)))
    u, v = harmonics.wind(harmonics.analysis(zeta), harmonics.analysis(delta))
    return harmonics, torch.stack([z, u, v, zeta, delta])


@pytest.mark.parametrize(("turn", "mirror"), [(5, False), (0, True), (11, True)])
def test_vorticity_and_divergence_of_a_moved_wind_are_moved_likewise(
    turn: int, mirror: bool
) -> None:
    harmonics, state = wind()
    signs = Symmetries().signs(CHANNELS, ())
    assert signs.tolist() == [1, 1, -1, -1, 1]
    there = torch.from_numpy(moved(state.numpy(), signs, turn, mirror))
    zeta, delta = harmonics.vorticity_divergence(there[1], there[2])
    torch.testing.assert_close(harmonics.synthesis(zeta), there[3], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(harmonics.synthesis(delta), there[4], atol=1e-10, rtol=1e-10)
    assert not torch.equal(there, state)


def test_they_undo_themselves() -> None:
    fields = np.random.default_rng(0).normal(size=(3, 2, 4, 8)).astype(np.float32)
    signs = np.array([1, -1], np.float32)
    assert np.array_equal(moved(moved(fields, signs, 0, True), signs, 0, True), fields)
    assert np.array_equal(moved(moved(fields, signs, 3, False), signs, 5, False), fields)


def test_signs_and_draws() -> None:
    symmetries = Symmetries(odd=["sin_lat"])
    assert symmetries.signs(None, ("cos_lat", "sin_lat")).tolist() == [1, -1]
    draws = symmetries.draw(np.random.default_rng(0), 400, 32)
    assert {turn for turn, _ in draws} == set(range(32))
    assert 150 < sum(mirror for _, mirror in draws) < 250
    still = Symmetries(turn=False, mirror=False).draw(np.random.default_rng(0), 5, 32)
    assert still == [(0, False)] * 5


@pytest.mark.parametrize(
    ("grid", "odd", "said"),
    [
        (LatLon(np.linspace(-30, 60, 10), np.arange(0, 90, 10.0)), (), "is its own mirror image"),
        (LatLon(np.linspace(-88, 90, 90), np.arange(0, 360, 2.0)), (), "is its own mirror image"),
        (equiangular(8), ("v50",), "expected odd among z500, .* got 'v50'"),
    ],
)
def test_where_there_is_no_symmetry(grid: LatLon, odd: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Symmetries(odd=odd).check(grid, CHANNELS.names)
