"""Plane incompressible flow on the torus [0, 2π)²: a pseudo-spectral solution of the vorticity
equation, with the pressure that belongs to it.

    ω_t + u ω_x + v ω_y = ν (ω_xx + ω_yy),    ω = v_x − u_y
    ψ_xx + ψ_yy = −ω,    u = ψ_y,  v = −ψ_x
    p_xx + p_yy = 2 (u_x v_y − u_y v_x),    mean of p zero

    symbol   meaning                   unit (length L of the torus over 2π, speed U)
    u, v     velocity                  U
    ω        vorticity                 U/L
    ψ        stream function           U L
    p        pressure over density     U²
    ν        kinematic viscosity       U L

Products are taken at the nodes, with the modes above 2/3 of the highest set to zero; time goes by
the classical Runge-Kutta method for e^{ν|k|²t} ω̂, which makes diffusion exact.

Source: C. Canuto, M. Y. Hussaini, A. Quarteroni, T. A. Zang, Spectral Methods in Fluid Dynamics,
Springer 1988, chapters 3 and 7.

`python -m sciml.references.vorticity FILE.nc` makes the sample: decaying vortices at ν = 0.01.
"""

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray

from sciml import atomic
from sciml.contracts import UserError

WORDS = {"u": "velocity along x", "v": "velocity along y", "p": "pressure, zero mean on the torus"}


@dataclass(frozen=True)
class Torus:
    """n × n nodes on [0, 2π)² and their modes; axis 0 is y, axis 1 is x; n even, >= 8."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 8 or self.n % 2:
            raise UserError(f"torus: expected an even number of nodes >= 8, got {self.n}")

    @property
    def axis(self) -> np.ndarray:
        """`[n]`: the nodes along one side."""
        return 2 * np.pi * np.arange(self.n) / self.n

    @property
    def modes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wave numbers along x `[1, n/2+1]` and y `[n, 1]`, and |k|² with 1 at the mean."""
        kx = np.arange(self.n // 2 + 1)[None, :].astype(float)
        ky = np.fft.fftfreq(self.n, 1 / self.n)[:, None]
        square = kx**2 + ky**2
        square[0, 0] = 1.0
        return kx, ky, square

    @property
    def kept(self) -> np.ndarray:
        """True for the modes that products leave alone: |k_x|, |k_y| < n/3."""
        kx, ky, _ = self.modes
        return (kx < self.n / 3) & (abs(ky) < self.n / 3)

    def nodes(self, modes: np.ndarray) -> np.ndarray:
        return np.fft.irfft2(modes, s=(self.n, self.n))


def velocity(torus: Torus, omega: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Modes of u = ψ_y and v = −ψ_x, where |k|² ψ̂ = ω̂; no mean flow."""
    kx, ky, square = torus.modes
    return 1j * ky * omega / square, -1j * kx * omega / square


def advection(torus: Torus, omega: np.ndarray) -> np.ndarray:
    """Modes of −(u ω_x + v ω_y)."""
    kx, ky, _ = torus.modes
    u, v = (torus.nodes(part) for part in velocity(torus, omega))
    slope = u * torus.nodes(1j * kx * omega) + v * torus.nodes(1j * ky * omega)
    return -np.fft.rfft2(slope) * torus.kept


def pressure(torus: Torus, omega: np.ndarray) -> np.ndarray:
    """Modes of the pressure."""
    kx, ky, square = torus.modes
    u, v = velocity(torus, omega)
    u_x, v_y, u_y, v_x = (
        torus.nodes(1j * k * part) for k, part in ((kx, u), (ky, v), (ky, u), (kx, v))
    )
    modes = -np.fft.rfft2(2 * (u_x * v_y - u_y * v_x)) / square
    modes[0, 0] = 0.0
    return modes


def solve(
    torus: Torus, omega: np.ndarray, nu: float, times: np.ndarray, steps: int
) -> list[np.ndarray]:
    """Modes of the vorticity at every one of `times`, from `omega` at the first.

    Args:
        omega: `[n, n/2+1]` modes of `numpy.fft.rfft2`.
        nu: viscosity, >= 0.
        times: `[m]`, increasing.
        steps: Runge-Kutta steps from one time to the next; fourth order in their length.
    """
    if nu < 0 or steps < 1 or not np.all(np.diff(times) > 0):
        raise UserError(f"vorticity: expected nu >= 0, increasing times, got {nu}, {times}")
    omega = omega * torus.kept
    found = [omega]
    for start, end in pairwise(times):
        h = (end - start) / steps
        half = np.exp(-nu * torus.modes[2] * h / 2)
        for _ in range(steps):
            omega = _step(torus, omega, half, h)
        found.append(omega)
    return found


def _step(torus: Torus, omega: np.ndarray, half: np.ndarray, h: float) -> np.ndarray:
    """One classical Runge-Kutta step; `half` is the decay of every mode over h/2."""
    a = advection(torus, omega)
    b = advection(torus, half * (omega + h / 2 * a))
    c = advection(torus, half * omega + h / 2 * b)
    d = advection(torus, half * (half * omega + h * c))
    return half**2 * omega + h / 6 * (half**2 * a + 2 * half * (b + c) + d)


def vortices(torus: Torus, highest: int = 3, seed: int = 0) -> np.ndarray:
    """Modes of a smooth random vorticity with waves up to `highest`, speed 1 in the mean square.

    The same flow on every torus: amplitudes are drawn for the waves, not for the nodes.
    """
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(torus.axis, torus.axis)
    psi = np.zeros_like(x)
    for kx in range(highest + 1):
        for ky in range(-highest, highest + 1):
            size, phase = rng.normal(), rng.uniform(0, 2 * np.pi)
            square = kx**2 + ky**2
            if 0 < square <= highest**2:
                psi += size / square * np.cos(kx * x + ky * y + phase)
    omega = torus.modes[2] * np.fft.rfft2(psi)
    omega[0, 0] = 0.0
    u, v = (torus.nodes(part) for part in velocity(torus, omega))
    return omega / np.sqrt(np.mean(u**2 + v**2))


def dataset(torus: Torus, flow: list[np.ndarray], times: np.ndarray, nu: float) -> xarray.Dataset:
    """u, v, p at the nodes of the quarter [0, π]² and at all times."""
    window = slice(0, torus.n // 2 + 1)
    fields = {
        "u": [torus.nodes(velocity(torus, omega)[0]) for omega in flow],
        "v": [torus.nodes(velocity(torus, omega)[1]) for omega in flow],
        "p": [torus.nodes(pressure(torus, omega)) for omega in flow],
    }
    data = {
        name: (
            ("t", "y", "x"),
            np.stack(values)[:, window, window],
            {"units": "1", "long_name": WORDS[name]},
        )
        for name, values in fields.items()
    }
    about = {"t": "time", "y": "position along y", "x": "position along x"}
    axes = {"t": times, "y": torus.axis[window], "x": torus.axis[window]}
    coordinates = {
        name: (name, axis, {"units": "1", "long_name": about[name], "axis": name.upper()})
        for name, axis in axes.items()
    }
    attributes = {
        "Conventions": "CF-1.11",
        "title": f"Decaying vortices on a torus at viscosity {nu:g}, one quarter of it",
        "source": "sciml.references.vorticity: pseudo-spectral, Runge-Kutta of fourth order",
        "license": "Apache-2.0",
        "viscosity": nu,
    }
    return xarray.Dataset(data, coordinates, attributes)


def make(
    path: str | Path, nu: float = 0.01, end: float = 1.0, nodes: int = 64, refined: int = 4
) -> Path:
    """Solves on `refined · nodes` nodes a side and writes every `refined`-th of them, float32.

    The file tells how much the solution on half as many nodes, with steps twice as long, differs.
    """
    times = np.linspace(0.0, end, 21)
    solutions = []
    for factor in (max(1, refined // 2), refined):
        torus = Torus(factor * nodes)
        flow = solve(torus, vortices(torus), nu, times, steps=10 * factor)
        full = dataset(torus, flow, times, nu)
        solutions.append(full.isel(x=slice(None, None, factor), y=slice(None, None, factor)))
    coarse, fine = solutions
    gaps = [float(abs(fine[name] - coarse[name].values).max()) for name in WORDS]
    fine.attrs["largest_difference_to_half_the_resolution"] = max(gaps)
    path = Path(path)
    packed = {"dtype": "float32", "zlib": True, "complevel": 9, "shuffle": True}
    with atomic.replacing(path) as partial:
        fine.to_netcdf(partial, engine="netcdf4", encoding=dict.fromkeys(fine.data_vars, packed))
    return path


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"expected one argument, the file to write, got {len(sys.argv) - 1}")
    print(make(sys.argv[1]))
