"""Legendre functions against closed forms, SciPy, and their own derivatives."""

import numpy as np
import pytest
from scipy.special import sph_harm_y

from sciml.calculus.sphere import legendre
from sciml.calculus.sphere.quadrature import gauss_legendre

PHI = np.radians([-90, -89.999, -60, -12.5, 0, 33, 71, 89.3, 90])
S, C = np.sin(PHI), np.cos(PHI)
PI = np.pi

#: (l, m) → P_lm and dP_lm/dφ, from tables of real spherical harmonics without (-1)^m.
CLOSED = {
    (0, 0): (np.sqrt(1 / (4 * PI)) + 0 * S, 0 * S),
    (1, 0): (np.sqrt(3 / (4 * PI)) * S, np.sqrt(3 / (4 * PI)) * C),
    (1, 1): (np.sqrt(3 / (8 * PI)) * C, -np.sqrt(3 / (8 * PI)) * S),
    (2, 0): (np.sqrt(5 / (16 * PI)) * (3 * S**2 - 1), np.sqrt(5 / (16 * PI)) * 6 * S * C),
    (2, 1): (np.sqrt(15 / (8 * PI)) * S * C, np.sqrt(15 / (8 * PI)) * (C**2 - S**2)),
    (2, 2): (np.sqrt(15 / (32 * PI)) * C**2, -np.sqrt(15 / (32 * PI)) * 2 * S * C),
    (3, 1): (
        np.sqrt(21 / (64 * PI)) * C * (5 * S**2 - 1),
        np.sqrt(21 / (64 * PI)) * S * (10 * C**2 - 5 * S**2 + 1),
    ),
}


@pytest.mark.parametrize(("l", "m"), CLOSED)
def test_closed_forms(l, m):
    value, slope = CLOSED[l, m]
    np.testing.assert_allclose(legendre.functions(PHI, 3)[m, :, l], value, atol=1e-15)
    np.testing.assert_allclose(legendre.derivatives(PHI, 3)[m, :, l], slope, atol=4e-15)
    if m > 0:
        divided = legendre.functions(PHI, 3, divided=True)[m, :, l]
        np.testing.assert_allclose(divided[1:-1], (value / C)[1:-1], atol=1e-11)


def test_scipy():
    """SciPy's Y_lm has the Condon-Shortley phase (-1)^m, ours has not."""
    table = legendre.functions(PHI, 40)
    l, m = np.tril_indices(41)
    theirs = (-1.0) ** m * sph_harm_y(l, m, PI / 2 - PHI[:, None], 0.0).real
    np.testing.assert_allclose(table[m, :, l].T, theirs, atol=1e-12)


def test_zero_above_the_diagonal():
    l, m = np.triu_indices(9, 1)
    l, m = np.minimum(l, m), np.maximum(l, m)
    for table in (legendre.functions(PHI, 8), legendre.derivatives(PHI, 8)):
        assert not table[m, :, l].any()


def test_orthonormal():
    """∫ P_lm P_l'm dμ = δ_ll' / 2π, also at a degree where sectoral functions have underflowed."""
    lat, w = gauss_legendre(160)
    table = legendre.functions(np.radians(lat), 159)
    for m in (0, 1, 30, 100, 158):
        gram = 2 * PI * (table[m].T * w) @ table[m]
        held = np.diag(np.arange(160) >= m).astype(float)
        np.testing.assert_allclose(gram, held, atol=3e-12)


def test_at_the_poles():
    """P_lm = 0 but for m = 0; P_lm / cos φ and the derivative are zero but for m = 1."""
    table, slope = legendre.functions(PHI, 9), legendre.derivatives(PHI, 9)
    divided = legendre.functions(PHI, 9, divided=True)
    for pole in (0, -1):
        assert np.abs(table[1:, pole]).max() < 1e-14
        assert np.abs(np.delete(slope[:, pole], 1, axis=0)).max() < 1e-13
        assert np.abs(divided[2:, pole]).max() < 1e-13
    l = np.arange(1, 10)
    size = np.sqrt((2 * l + 1) * l * (l + 1) / (16 * PI))  # of P_l1 / cos φ at the north pole
    np.testing.assert_allclose(divided[1, -1, 1:], size, rtol=1e-13)
    np.testing.assert_allclose(slope[1, -1, 1:], -size, rtol=1e-13)
    np.testing.assert_allclose(divided[1, 0, 1:], (-1.0) ** (l + 1) * size, rtol=1e-13)
