"""Where a rigid body is: a translation and a rotation vector, `[6]`, and positions in its frame.

    x = c + R(ω) y        R = exp([ω]ₓ)

ω is the axis times the angle, rad. A path is `[times, 6]`; between two times the six numbers are
interpolated, which is a rotation at constant rate if the axis does not change.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def pose(
    position: tuple[float, float, float], rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Float[Tensor, "6"]:
    """c, m, and ω, rad, as one tensor."""
    return torch.tensor([*position, *rotation], dtype=torch.float64)


def path(*stations: Float[Tensor, "6"], steps: int | tuple[int, ...]) -> Float[Tensor, "times 6"]:
    """Straight lines between poses.

    Args:
        stations: two or more.
        steps: on every line, or one number for all.

    Returns:
        The first pose and that after every step.
    """
    lines = len(stations) - 1
    counts = (steps,) * lines if isinstance(steps, int) else steps
    parts = [stations[0][None]]
    for start, end, count in zip(stations[:-1], stations[1:], counts, strict=True):
        share = torch.linspace(0, 1, count + 1, dtype=torch.float64)[1:, None]
        parts.append(start + share * (end - start))
    return torch.cat(parts)


def rotation(omega: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """R = exp([ω]ₓ) by Rodrigues' formula; smooth at ω = 0."""
    squared = (omega * omega).sum()
    small = squared < 1e-8
    safe = torch.where(small, 1.0, squared)
    angle = safe.sqrt()
    sinc = torch.where(small, 1 - squared / 6 + squared**2 / 120, angle.sin() / angle)
    versed = torch.where(small, 0.5 - squared / 24 + squared**2 / 720, (1 - angle.cos()) / safe)
    x, y, z = omega
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
    return torch.eye(3, dtype=omega.dtype) + sinc * cross + versed * (cross @ cross)


def into_frame(
    x: Float[Tensor, "q 3"], at: Float[Tensor, "6"]
) -> tuple[Float[Tensor, "q 3"], Float[Tensor, "3 3"]]:
    """y = Rᵀ (x - c), and R."""
    R = rotation(at[3:])
    return (x - at[:3]) @ R, R
