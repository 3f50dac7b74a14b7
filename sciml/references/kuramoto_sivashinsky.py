"""Reference solution of the Kuramoto-Sivashinsky equation in its regular regime.

    u_t + α u u_x + β u_xx + γ u_xxxx = 0,   u(x, 0) = -sin πx,   period 2
    α = 5, β = 0.5, γ = 0.005

Waves of wave number k grow at the rate β k² - γ k⁴: here the first three of the period (4.4, 11.9
and 5.0 per unit of time), the others decay. Odd solutions stay odd; mean and oddness are kept to
rounding.

Source: S. Wang, S. Sankaran, P. Perdikaris, Respecting causality is all you need for training
physics-informed neural networks, arXiv:2203.07404 (the problem; numbers as in their released code,
CausalPINNs, KS/regular_KS.py); `sciml.references.spectral` (the method).

`python -m sciml.references.kuramoto_sivashinsky FILE.nc` solves and writes the file.
"""

import sys
from pathlib import Path

import numpy as np
from scipy import fft

from sciml.references import space_time, spectral

ALPHA, BETA, GAMMA, LOWER, UPPER = 5.0, 0.5, 0.005, -1.0, 1.0


def equation(alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA) -> spectral.Semilinear:
    """λ = β k² - γ k⁴, N(u) = -(α/2) (u²)_x."""

    def nonlinear(u: np.ndarray, k: np.ndarray) -> np.ndarray:
        return -0.5j * alpha * k * fft.rfft(u**2, norm="forward")

    return spectral.Semilinear(lambda k: beta * k**2 - gamma * k**4, nonlinear, LOWER, UPPER)


def solution(
    nodes: int, steps: int, x: int = 257, t: int = 101
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x `[x]` and t `[t]` with both ends, u `[t, x]`; `nodes` in space, `steps` between times."""
    regular, times = equation(), np.linspace(0, 1, t)
    start = spectral.coefficients(-np.sin(np.pi * regular.nodes(nodes)))
    u = spectral.values(spectral.solve(regular, start, times, steps), x - 1)
    u = np.concatenate((u, u[:, :1]), axis=1)
    return np.linspace(LOWER, UPPER, x), times, u


def make(path: str | Path, nodes: int = 256, steps: int = 640, x: int = 257, t: int = 101) -> Path:
    """Solves twice, writes the finer solution and what the refinement has changed.

    Cost: 7 CPU-seconds.
    """
    about = {
        "title": "Kuramoto-Sivashinsky equation, regular: alpha = 5, beta = 0.5, gamma = 0.005",
        "source": "sciml.references.kuramoto_sivashinsky: Fourier series, ETDRK4",
    }
    return space_time.make(path, solution, about, nodes=nodes, steps=steps, x=x, t=t)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"expected one argument, the file to write, got {len(sys.argv) - 1}")
    print(make(sys.argv[1]))
