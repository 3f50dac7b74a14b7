"""How far the cavity's reference solution can be trusted: extrema, vortex and a study of meshes.

`python -m sciml.references.cavity_study` prints, mesh by mesh, what refinement still changes.
"""

from time import process_time

import numpy as np

from sciml.references import cavity
from sciml.references.navier_stokes import Flow


def extrema(flow: Flow) -> dict[str, tuple[float, float]]:
    """Extreme velocity on the centrelines and its place: u_min at y, v_max at x, v_min at x."""
    s = np.linspace(0, 1, 2001)
    half = np.full_like(s, 0.5)
    u, v = flow.at(np.array([half, s]))[0], flow.at(np.array([s, half]))[1]
    return {"u_min": _peak(s, u, -1), "v_max": _peak(s, v, 1), "v_min": _peak(s, v, -1)}


def _peak(s: np.ndarray, values: np.ndarray, sign: int) -> tuple[float, float]:
    """Extreme value of smooth samples and its place, by the parabola through the best three."""
    i = int(np.clip((sign * values).argmax(), 1, s.size - 2))
    a, b, c = np.polyfit(s[i - 1 : i + 2] - s[i], values[i - 1 : i + 2], 2)
    return float(c - b**2 / (4 * a)), float(s[i] - b / (2 * a))


def vortex(flow: Flow) -> tuple[float, float, float]:
    """Centre of the main vortex: the smallest ψ and its x, y, by zooming in on the best node."""
    psi = flow.stream_function()
    x, y, reach = 0.5, 0.5, 0.45
    for _ in range(4):
        steps = np.linspace(-reach, reach, 41)
        at = np.array([part.ravel() for part in np.meshgrid(x + steps, y + steps)])
        values = flow.velocity.probes(at) @ psi
        x, y = at[:, values.argmin()]
        reach /= 15
    return float(values.min()), float(x), float(y)


def study(Re: float = 100) -> None:
    """Prints how the solution changes with mesh and degree, against the finest one."""
    ladder = [
        cavity.COARSE,
        cavity.Resolution(8, 0.5, 1e-3),
        cavity.Resolution(12, 0.5, 1e-4),
        cavity.Resolution(16, 0.5, 1e-4, degree=3),
        cavity.MEDIUM,
        cavity.Resolution(16, 0.25, 1e-4),
        cavity.FINE,
    ]
    solutions = []
    for resolution in ladder:
        start = process_time()
        flow = cavity.solve(Re, resolution)
        solutions.append((resolution, flow, cavity.dataset(flow), process_time() - start))
    finest = solutions[-1][2]
    for resolution, flow, data, seconds in solutions:
        print(f"{resolution}: {flow.unknowns} unknowns, {seconds:.1f} CPU-s")
        print(
            "   ", {name: f"{value:.1e}" for name, value in cavity.difference(data, finest).items()}
        )
        psi, x, y = vortex(flow)
        print(f"    vortex psi = {psi:.8f} at ({x:.5f}, {y:.5f});", end=" ")
        print({name: f"{value:.8f} at {at:.5f}" for name, (value, at) in extrema(flow).items()})


if __name__ == "__main__":
    study()
