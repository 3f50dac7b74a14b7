"""Draws points on a domain's boundary: all of it, the part where a predicate holds, flat faces.

A candidate counts where the inside lies just behind it and the outside just before it. This one
test serves every shape and every combination, also where the surfaces of two shapes touch.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from sciml.contracts import UserError
from sciml.pinn.samplers import UnitSampler

if TYPE_CHECKING:
    from sciml.pinn.geometry import Domain

#: Candidates drawn before giving up where less than the share `RAREST` of them counted.
PATIENCE, RAREST = 200_000, 1e-4
#: Distance at which a candidate is looked at from both sides, relative to the domain's size.
NEAR = 1e-6

#: Points `[n, d]` and their outward unit normals `[n, d]`.
Drawn = tuple[np.ndarray, np.ndarray]


def gather(n: int, draw: Callable[[int], Drawn], nothing: str) -> Drawn:
    """The first `n` of what calls of `draw(candidates)` keep; `nothing` says why there are none."""
    points: list[np.ndarray] = []
    normals: list[np.ndarray] = []
    tried = found = 0
    while found < n:
        if tried >= PATIENCE and found < RAREST * tried:
            raise UserError(f"{nothing} ({found} of {tried} points tried)")
        rate = max(found, 1) / tried if tried else 1.0
        candidates = min(int(1.1 * (n - found) / rate) + 16, PATIENCE)
        x, normal = draw(candidates)
        points.append(x)
        normals.append(normal)
        tried, found = tried + candidates, found + len(x)
    return np.concatenate(points)[:n], np.concatenate(normals)[:n]


def everywhere(
    domain: "Domain",
    n: int,
    rng: np.random.Generator,
    where: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Drawn:
    """`n` uniform points of the boundary where `where(x)` holds."""
    if not domain.surfaces:
        raise UserError(
            "boundary: expected a domain with a known boundary, got a cloud of points without one; "
            "pass boundary= and normals= to point_cloud"
        )

    def draw(candidates: int) -> Drawn:
        x, normals = _from_surfaces(domain, candidates, rng)
        if where is None:
            return x, normals
        held = np.asarray(where(x), dtype=bool)
        return x[held], normals[held]

    nothing = f"where= lies outside the boundary: it holds at no point; {domain.extent}"
    return gather(n, draw, nothing)


def _from_surfaces(domain: "Domain", n: int, rng: np.random.Generator) -> Drawn:
    measures = np.array([surface.measure for surface in domain.surfaces])
    counts = rng.multinomial(n, measures / measures.sum())
    drawn = [s.draw(int(k), rng) for s, k in zip(domain.surfaces, counts, strict=True)]
    x, normals = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    if len(drawn) > 1:
        step = NEAR * domain.size * normals
        kept = domain.geometry.inside(x - step) & ~domain.geometry.inside(x + step)
        order = rng.permutation(np.flatnonzero(kept))
        x, normals = x[order], normals[order]
    if domain.time is not None:
        normals = np.column_stack((normals, np.zeros(len(x))))
    return domain.with_time(x, rng), normals


def face(
    domain: "Domain",
    axis: str,
    value: float,
    n: int,
    method: UnitSampler,
    rng: np.random.Generator,
    sets: int = 1,
) -> Drawn:
    """`[sets·n, d]` points of the flat part of the boundary where `axis` has the given value."""
    nothing = (
        f"{axis} = {value:g} lies outside the boundary: it has no flat part there; {domain.extent}"
    )
    column = _column(domain, axis, value, nothing)

    def draw(candidates: int) -> Drawn:
        x = _on_plane(domain, column, value, method, rng, (candidates, 1))
        x, _ = _facing(domain, x, column, NEAR)
        flat, outward = _facing(domain, x, column, NEAR / 10)
        if len(flat) < 0.7 * len(x):  # the top of a curve: nearer looks find fewer and fewer
            raise UserError(nothing)
        return flat, outward

    if domain.fills_box:
        x = _on_plane(domain, column, value, method, rng, (n, sets))
        normals = np.zeros_like(x)
        normals[:, column] = 1.0 if value > domain.bounds[:, column].mean() else -1.0
        return x, normals
    return gather(sets * n, draw, nothing)


def _column(domain: "Domain", axis: str, value: float, nothing: str) -> int:
    if axis not in domain.space:
        raise UserError(
            f"expected a face along one of {domain.space}, got {axis!r}; "
            "for the start of time use Initial()"
        )
    column = domain.space.index(axis)
    lower, upper = domain.bounds[:, column]
    tolerance = NEAR * domain.size
    if not lower - tolerance < value < upper + tolerance:
        raise UserError(nothing)
    if domain.fills_box and min(value - lower, upper - value) > tolerance / 2:
        raise UserError(nothing)
    return column


def _on_plane(
    domain: "Domain",
    column: int,
    value: float,
    method: UnitSampler,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> np.ndarray:
    others = [i for i in range(domain.dimension) if i != column]
    lower, upper = domain.bounds[:, others]
    x = np.full((size[0] * size[1], domain.dimension), float(value))
    if others:
        x[:, others] = lower + method(size[0], len(others), rng, size[1]) * (upper - lower)
    return x


def _facing(domain: "Domain", x: np.ndarray, column: int, near: float) -> Drawn:
    """Keeps what has the inside on one side along the axis and the outside on the other."""
    step = np.zeros(domain.geometry.dim)
    step[column] = near * domain.size
    space = x[:, : domain.geometry.dim]
    behind, before = domain.geometry.inside(space - step), domain.geometry.inside(space + step)
    sign = behind.astype(float) - before.astype(float)
    normals = np.zeros_like(x)
    normals[:, column] = sign
    return x[sign != 0], normals[sign != 0]
