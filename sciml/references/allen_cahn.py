"""Reference solution of the Allen-Cahn benchmark: two phases part, walls between them stay.

    u_t = D u_xx + 5 u - 5 u³,   u(x, 0) = x² cos πx,   period 2,   D = 1e-4

The start has a kink where the period closes: its slope is -2 at x = 1 and +2 at x = -1. Diffusion
rounds it off at once, over a width of (D t)^½ = 0.01 t^½, yet interpolating it on a grid leaves an
error of the order of the squared spacing there. So its Fourier coefficients are in closed form,

    û_k = (c_{k-1} + c_{k+1})/4,   c_m = ∫ x² cos mπx dx = 4 (-1)^m / (πm)²,   c_0 = 2/3.

Source: M. Raissi, P. Perdikaris, G. E. Karniadakis, J. Comput. Phys. 378 (2019) 686-707 (the
problem); `sciml.references.spectral` (the method).

`python -m sciml.references.allen_cahn FILE.nc` solves and writes the file.
"""

import sys
from pathlib import Path

import numpy as np
from scipy import fft

from sciml.references import space_time, spectral

DIFFUSIVITY, LOWER, UPPER = 1e-4, -1.0, 1.0


def equation(D: float = DIFFUSIVITY) -> spectral.Semilinear:
    """L = D ∂_xx, N(u) = 5 u - 5 u³."""

    def nonlinear(u: np.ndarray, _: np.ndarray) -> np.ndarray:
        return fft.rfft(5 * u - 5 * u**3, norm="forward")

    return spectral.Semilinear(lambda k: -D * k**2, nonlinear, LOWER, UPPER)


def start(n: int) -> np.ndarray:
    """Fourier coefficients `[n//2 + 1]` of x² cos πx; the nodes begin at x = -1, hence (-1)^k."""
    k = np.arange(n // 2 + 1)

    def c(m: np.ndarray) -> np.ndarray:
        curved = 4 * (-1.0) ** m / (np.pi * np.maximum(np.abs(m), 1)) ** 2
        return np.where(m == 0, 2 / 3, curved)

    return (-1.0) ** k * (c(k - 1) + c(k + 1)) / 4 + 0j


def solution(
    nodes: int, steps: int, x: int = 257, t: int = 101
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x `[x]` and t `[t]` with both ends, u `[t, x]`; `nodes` in space, `steps` between times."""
    times = np.linspace(0, 1, t)
    found = spectral.solve(equation(), start(nodes), times, steps)
    u = spectral.values(found, x - 1)
    u = np.concatenate((u, u[:, :1]), axis=1)
    places = np.linspace(LOWER, UPPER, x)
    u[0] = places**2 * np.cos(np.pi * places)
    return places, times, u


def make(path: str | Path, nodes: int = 8192, steps: int = 40, x: int = 257, t: int = 101) -> Path:
    """Solves twice, writes the finer solution and what the refinement has changed.

    Cost: 12 CPU-seconds.
    """
    about = {
        "title": "Allen-Cahn equation u_t = 1e-4 u_xx + 5 u - 5 u^3, u(x, 0) = x^2 cos(pi x)",
        "source": "sciml.references.allen_cahn: Fourier series, ETDRK4",
    }
    return space_time.make(path, solution, about, nodes=nodes, steps=steps, x=x, t=t)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"expected one argument, the file to write, got {len(sys.argv) - 1}")
    print(make(sys.argv[1]))
