"""An explicit step of the benchmark's press in NVIDIA Warp: what a peer of that kind costs here.

    M a = f(x) + contact,    v += dt a,    x += dt v         (symplectic Euler, lumped mass)

The same gel, mesh, ball and friction as `tactile.press`, in single precision as such simulators
have it, one thread. The penalty is softer by 25, in favour of the explicit side: a stiffer one
asks for shorter steps. Friction is Coulomb's and at most stops a node. The gradient goes back
through Warp's tape, with the state of every step stored.
"""

import time
from typing import Any

import numpy as np

from sciml.tactile.elements import Elements
from sciml.tactile.shapes import block

#: Of the press of `tactile.press`: gel and ball, SI.
E, NU, RHO, MU = 2e5, 0.45, 1000.0, 0.5
SIZE, BRICKS, RADIUS = (0.02, 0.02, 0.01), (10, 10, 8), 0.004
#: Pa/m; the press has 5e9, with which steps of 3e-5 s are too long.
STIFFNESS = 2e8
#: Steps that are timed, those through which the gradient is taken, and those of stability.
FORWARD, BACKWARD, STABLE = 2000, 300, 3000


def explicit(dt: float = 3e-5) -> dict[str, Any] | None:
    """Nanoseconds a tetrahedron and step, forward and with the gradient; None without Warp."""
    try:
        import warp as wp
    except ImportError:
        print("explicit: expected the package warp-lang, found none; pip install warp-lang")
        return None
    wp.config.quiet = True
    wp.init()
    press = Press(wp, kernels(wp))
    press.run(5, dt, gradient=True)  # compiles
    forward = min(press.run(FORWARD, dt)["forward"] for _ in range(3))
    taped = [press.run(BACKWARD, dt, gradient=True) for _ in range(3)]
    both = min(found["forward"] + found["backward"] for found in taped)
    each = 1e9 / len(press.cells)
    return {
        "tets": len(press.cells), "dt": dt, "warp": wp.config.version,
        "forward_ns": each * forward / FORWARD, "both_ns": each * both / BACKWARD,
        "stable": {f"{step:g}": press.stays(step) for step in (2e-5, 3e-5, 4e-5, 5e-5)},
        "slope_error": press.slope_error(BACKWARD, dt),
    }  # fmt: skip


class Press:
    """The mesh and what is constant in it, on Warp's CPU device."""

    def __init__(self, wp: Any, made: dict[str, Any]) -> None:
        self.wp, self.kernels = wp, made
        elements = Elements(block(SIZE, BRICKS), 1)
        self.cells = elements.cells
        rest = elements.nodes[self.cells]
        edges = np.moveaxis(rest[:, 1:] - rest[:, :1], 1, 2)  # columns X_a - X_0
        sign = np.sign(np.linalg.det(edges))
        assert (sign != 0).all()
        lumped = np.bincount(self.cells.ravel(), np.repeat(elements.volumes / 4, 4), elements.n)
        free = np.ones(elements.n)
        free[elements.on("bottom")] = 0
        weights = np.zeros(elements.n)
        top = elements.mesh.surface("top")
        weights += elements.surface_weights("top")
        self.n, self.nodes, self.top = elements.n, elements.nodes, top
        array = lambda values, kind: wp.array(values, dtype=kind, device="cpu")  # noqa: E731
        self.fixed = {
            "cells": array(self.cells.astype(np.int32), wp.vec4i),
            "inverse": array(np.linalg.inv(edges).astype(np.float32), wp.mat33),
            "volume": array(elements.volumes.astype(np.float32), wp.float32),
            "share": array((free / (RHO * lumped)).astype(np.float32), wp.float32),
            "area": array(weights.astype(np.float32), wp.float32),
        }

    def run(
        self, steps: int, dt: float, gradient: bool = False, modulus: float = E
    ) -> dict[str, Any]:
        """CPU-seconds of so many steps of a press of 1 mm in 0.1 s, and what came out."""
        wp, kernels, fixed = self.wp, self.kernels, self.fixed
        kept = steps if gradient else 1
        with wp.ScopedDevice("cpu"):
            fresh = lambda: wp.zeros(self.n, dtype=wp.vec3, requires_grad=gradient)  # noqa: E731
            x, v, f = ([fresh() for _ in range(kept + 1)] for _ in range(3))
            x[0].assign(self.nodes.astype(np.float32))
            young = wp.array([modulus], dtype=wp.float32, requires_grad=gradient)
            loss = wp.zeros(1, dtype=wp.float32, requires_grad=gradient)
            tape = wp.Tape()
            start = time.process_time()

            def march() -> None:
                for step in range(steps):
                    now, then = (step, step + 1) if gradient else (0, 0)
                    depth = min(1e-3, 1e-2 * dt * (step + 1))
                    if not gradient:
                        f[0].zero_()
                    wp.launch(kernels["inner"], len(self.cells), inputs=[
                        x[now], fixed["cells"], fixed["inverse"], fixed["volume"], young, f[now],
                    ])  # fmt: skip
                    wp.launch(kernels["march"], self.n, inputs=[
                        x[now], v[now], f[now], fixed["share"], fixed["area"], dt, depth,
                        x[then], v[then],
                    ])  # fmt: skip

            if not gradient:
                march()
                forward, backward, slope = time.process_time() - start, 0.0, 0.0
            else:
                with tape:
                    march()
                    wp.launch(kernels["squared"], self.n, inputs=[x[-1], x[0], loss])
                forward = time.process_time() - start
                start = time.process_time()
                tape.backward(loss)
                backward = time.process_time() - start
                slope = float(young.grad.numpy()[0])
            return {
                "forward": forward, "backward": backward, "slope": slope,
                "x": x[steps if gradient else 0].numpy(), "loss": float(loss.numpy()[0]),
            }  # fmt: skip

    def stays(self, dt: float) -> bool:
        """Whether steps of this length stay bounded for `STABLE` of them."""
        x = self.run(STABLE, dt)["x"]
        return bool(np.isfinite(x).all() and np.abs(x - self.nodes).max() < 5e-3)

    def slope_error(self, steps: int, dt: float) -> float:
        """Relative difference of dloss/dE to a central difference, in single precision."""
        slope = self.run(steps, dt, gradient=True)["slope"]
        step = 0.02 * E
        ahead, behind = (
            self.run(steps, dt, gradient=True, modulus=E + sign * step)["loss"] for sign in (1, -1)
        )
        return abs(slope / ((ahead - behind) / (2 * step)) - 1)


def kernels(wp: Any) -> dict[str, Any]:
    """Forces of the cells, one step of the nodes with contact, and a loss."""
    nu = wp.constant(wp.float32(NU))
    radius, stiffness = wp.constant(wp.float32(RADIUS)), wp.constant(wp.float32(STIFFNESS))
    friction, still = wp.constant(wp.float32(MU)), wp.constant(wp.float32(1e-12))
    middle = wp.constant(wp.vec3(SIZE[0] / 2, SIZE[1] / 2, SIZE[2] + RADIUS))

    @wp.kernel
    def inner(
        x: wp.array(dtype=wp.vec3), cells: wp.array(dtype=wp.vec4i),
        inverse: wp.array(dtype=wp.mat33), volume: wp.array(dtype=wp.float32),
        young: wp.array(dtype=wp.float32), f: wp.array(dtype=wp.vec3),
    ):  # fmt: skip
        i = wp.tid()
        c, X = cells[i], inverse[i]
        mu = young[0] / (2.0 * (1.0 + nu))
        lam = young[0] * nu / ((1.0 + nu) * (1.0 - 2.0 * nu))
        o = x[c[0]]
        F = wp.matrix_from_cols(x[c[1]] - o, x[c[2]] - o, x[c[3]] - o) * X
        T = wp.transpose(wp.inverse(F))
        P = mu * (F - T) + lam * wp.log(wp.determinant(F)) * T
        H = -volume[i] * (P * wp.transpose(X))
        a = wp.vec3(H[0, 0], H[1, 0], H[2, 0])
        b = wp.vec3(H[0, 1], H[1, 1], H[2, 1])
        d = wp.vec3(H[0, 2], H[1, 2], H[2, 2])
        wp.atomic_add(f, c[1], a)
        wp.atomic_add(f, c[2], b)
        wp.atomic_add(f, c[3], d)
        wp.atomic_add(f, c[0], -(a + b + d))

    @wp.kernel
    def march(
        x: wp.array(dtype=wp.vec3), v: wp.array(dtype=wp.vec3), f: wp.array(dtype=wp.vec3),
        share: wp.array(dtype=wp.float32), area: wp.array(dtype=wp.float32),
        dt: wp.float32, depth: wp.float32,
        x_then: wp.array(dtype=wp.vec3), v_then: wp.array(dtype=wp.vec3),
    ):  # fmt: skip
        i = wp.tid()
        away = x[i] - (middle - wp.vec3(0.0, 0.0, depth))
        length = wp.length(away)
        push = wp.max(radius - length, 0.0) * stiffness * area[i]
        n = away / length
        free = v[i] + dt * share[i] * (f[i] + push * n)
        along = free - wp.dot(free, n) * n
        most = dt * share[i] * friction * push
        next = free - wp.min(most / wp.max(wp.length(along), still), 1.0) * along
        v_then[i] = next
        x_then[i] = x[i] + dt * next

    @wp.kernel
    def squared(
        x: wp.array(dtype=wp.vec3), rest: wp.array(dtype=wp.vec3),
        loss: wp.array(dtype=wp.float32),
    ):  # fmt: skip
        i = wp.tid()
        d = 1.0e3 * (x[i] - rest[i])
        wp.atomic_add(loss, 0, wp.dot(d, d))

    return {"inner": inner, "march": march, "squared": squared}


def table(found: dict[str, Any]) -> list[str]:
    """What so many explicit steps take, and how often the implicit press fits into that."""
    lines = [
        f"* Warp {found['warp']}, {found['tets']:,} tets: {found['forward_ns']:.0f} ns a "
        f"tetrahedron and step forward, {found['both_ns']:.0f} with the gradient (which is off by "
        f"{100 * found['slope_error']:.1f} %); stable: {found['stable']}",
        "| press | explicit steps | in Warp, with gradient | the peer | ours | ratios |",
        "|" + "---|" * 6,
    ]
    for (row, one), seconds in zip(found["press"].items(), (1.0, 0.1), strict=True):
        steps = seconds / found["dt"]
        theirs = 1e-9 * found["both_ns"] * found["tets"] * steps
        ours = one["forward"] + one["gradient"]
        lines.append(
            f"| {row}, {seconds:g} s | {steps:,.0f} | {theirs:.1f} s | {one['peer']:.1f} s | "
            f"{ours:.2f} s | {theirs / ours:.0f} x, {one['ratio']:.0f} x |"
        )
    return lines
