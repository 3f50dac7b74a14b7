"""A rigid sphere pressed into nodes by a penalty: the seam's plainest user, for tests only."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Sphere:
    """Π = Σ_a ½ k A_a g_a², g = (R - |x - c|)⁺ at nodes `nodes`; parameter: the centre `[3]`.

    Args:
        stiffness: k, Pa/m.
        areas: A_a, `[s]`, m².
    """

    positions: Tensor
    nodes: np.ndarray
    areas: Tensor
    radius: float
    stiffness: float

    @property
    def pairs(self) -> np.ndarray:
        return np.column_stack([self.nodes, self.nodes])

    def _gap(self, u: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        away = self.positions[self.nodes] + u[self.nodes] - centre
        distance = away.norm(dim=1)
        return (self.radius - distance).clamp(min=0), away / distance[:, None], distance

    def energy(self, u: Tensor, before: Tensor, centre: Tensor) -> Tensor:
        depth, _, _ = self._gap(u, centre)
        return (self.stiffness * self.areas * depth**2).sum() / 2

    def force(self, u: Tensor, before: Tensor, centre: Tensor) -> Tensor:
        depth, normal, _ = self._gap(u, centre)
        push = -(self.stiffness * self.areas * depth)[:, None] * normal
        return torch.zeros_like(u).index_add(0, torch.from_numpy(self.nodes), push)

    def blocks(self, u: Tensor, before: Tensor, centre: Tensor) -> Tensor:
        depth, normal, distance = self._gap(u, centre)
        k = self.stiffness * self.areas
        along = k * (depth > 0) + k * depth / distance
        across = -k * depth / distance
        outer = normal[:, :, None] * normal[:, None, :]
        return along[:, None, None] * outer + across[:, None, None] * torch.eye(3).double()


def on_top(elements, radius: float, stiffness: float) -> Sphere:
    """A sphere against the nodes of the surface `top`."""
    areas = elements.surface_weights("top")
    nodes = np.flatnonzero(areas)
    return Sphere(
        torch.from_numpy(elements.nodes), nodes, torch.from_numpy(areas[nodes]), radius, stiffness
    )


def press(centre: tuple[float, float, float], depth: float, slide: float, steps: int) -> Tensor:
    """Centres `[steps + 1, 3]`: down by `depth`, then along x by `slide`."""
    half = steps // 2
    down = torch.linspace(0, 1, half + 1).double()
    along = torch.linspace(0, 1, steps - half + 1).double()[1:]
    path = torch.zeros(steps + 1, 3).double()
    path[: half + 1, 2] = -depth * down
    path[half + 1 :, 2] = -depth
    path[half + 1 :, 0] = slide * along
    return path + torch.tensor(centre).double()
