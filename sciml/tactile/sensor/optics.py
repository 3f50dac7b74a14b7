"""Colours of the front as the camera sees them: coloured lamps, or a network fit to images.

The coating is seen from inside, where its normal is -n. With distant lamps and a matt coating
(Lambert)

    I = a + Σ_l k_l max(0, -n·s_l)

| symbol | meaning | unit |
|---|---|---|
| I | red, green, blue | 1, in [0, 1] |
| a | ambient light | 1 |
| k_l | colour and brightness of lamp l | 1 |
| s_l | unit vector from the front to lamp l, in the sensor's frame | 1 |
| n | outward unit normal of the front | 1 |

A real sensor has near lamps, reflections and vignetting: `PixelNetwork` learns (x, n) → I from
images of presses by known indenters. Both are differentiable in position and normal.

Source: S. Wang, Y. She, B. Romero, E. Adelson, GelSight Wedge, ICRA 2021 (a network by pixel
from colour and position to slope: here it goes the other way).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError


@runtime_checkable
class Optics(Protocol):
    """Colours of points: (x [p, 3] m, outward n [p, 3]) → [p, 3] in [0, 1]."""

    def __call__(self, points: Tensor, normals: Tensor) -> Tensor: ...


@final
class Lamps:
    """Distant coloured lamps on a matt coating.

    Args:
        azimuths: of the lamps about the z axis from the x axis, degrees.
        elevation: of all lamps below the front's plane at rest, degrees, in (0, 90].
        colours: red, green, blue of every lamp, ≥ 0.
        ambient: the same for all channels, ≥ 0.

    Raises:
        UserError: values out of these ranges; lamps that together may be brighter than 1.
    """

    def __init__(
        self,
        azimuths: Sequence[float | int],
        elevation: float | int,
        colours: Sequence[Sequence[float | int]],
        ambient: float | int = 0.0,
    ) -> None:
        if not 0 < elevation <= 90:
            raise UserError(f"lamps: expected elevation in (0, 90] degrees, got {elevation!r}")
        if len(azimuths) != len(colours):
            raise UserError(
                f"lamps: expected a colour for each of {len(azimuths)} lamps, got {len(colours)}"
            )
        around, up = (_tensor(v).deg2rad() for v in (azimuths, [elevation]))
        side = torch.stack([around.cos(), around.sin()], dim=-1) * up.cos()
        self.directions = torch.cat([side, -up.sin().expand(len(side), 1)], dim=-1)
        self.colours, self.ambient = torch.stack([_tensor(c) for c in colours]), float(ambient)
        brightest = float((self.colours.sum(0) + ambient).max())
        if float(self.colours.min()) < 0 or ambient < 0 or brightest > 1:
            raise UserError(
                "lamps: expected colours and ambient ≥ 0 that add up to at most 1 by channel, got "
                f"up to {brightest:.3g} and down to {min(float(self.colours.min()), ambient):.3g}"
            )

    def __call__(
        self, points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p 3"]:
        return self.ambient + (-normals @ self.directions.T).clamp(min=0) @ self.colours


@final
class PixelNetwork(nn.Module):
    """A small network from position and normal to colour, float64.

    Args:
        middle: `[3]`, m, and
        extent: m, > 0: of the front; positions are scaled by them.
        width, depth: of the hidden layers.
        seed: of the first weights.
    """

    def __init__(
        self,
        middle: Sequence[float | int],
        extent: float,
        width: int = 24,
        depth: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not extent > 0:
            raise UserError(f"pixel network: expected extent > 0 m, got {extent!r}")
        self.extent = extent
        self.register_buffer("middle", _tensor(middle))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = [6, *[width] * depth]
            hidden = [nn.Linear(a, b) for a, b in pairwise(sizes)]
            layers = [part for layer in hidden for part in (layer, nn.Tanh())]
            self.layers = nn.Sequential(*layers, nn.Linear(width, 3), nn.Sigmoid()).double()

    def forward(
        self, points: Float[Tensor, "p 3"], normals: Float[Tensor, "p 3"]
    ) -> Float[Tensor, "p 3"]:
        placed = 2 * (points - self.get_buffer("middle")) / self.extent
        return self.layers(torch.cat([placed, normals], dim=-1))


def fit(
    network: PixelNetwork,
    points: Float[Tensor, "p 3"],
    normals: Float[Tensor, "p 3"],
    colours: Float[Tensor, "p 3"],
    steps: int = 200,
) -> float:
    """Fits a network to colours by L-BFGS on all pixels.

    Args:
        network: changed in place.
        points, normals: what pixels see, from a `View` of the known shape; m, 1.
        colours: of these pixels in a recorded image, divided by 255.
        steps: iterations, ≥ 1.

    Returns: root mean square error of the fit, 1.

    Raises:
        UserError: colours that are not in [0, 1].
    """
    if colours.min() < 0 or colours.max() > 1:
        raise UserError(
            f"pixel network: expected colours in [0, 1], got {colours.min():g} … "
            f"{colours.max():g}; divide by 255"
        )
    points, normals = points.detach(), normals.detach()
    optimizer = torch.optim.LBFGS(
        network.parameters(), max_iter=steps, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-9, tolerance_change=1e-12,
    )  # fmt: skip

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = ((network(points, normals) - colours) ** 2).mean()
        error.backward()
        return error

    optimizer.step(loss)
    with torch.no_grad():
        return float(((network(points, normals) - colours) ** 2).mean().sqrt())


def dotted(
    image: Float[Tensor, "height width 3"], pixels: Float[Tensor, "k 2"], radius: float
) -> Float[Tensor, "height width 3"]:
    """An image with dark, soft-edged dots at markers; differentiable in where they are.

    Args:
        image: in [0, 1].
        pixels: `[k, 2]` (column, row).
        radius: at which a dot's darkness has fallen to e^(-1/2), pixels, > 0.
    """
    rows, columns = (torch.arange(n, dtype=image.dtype) for n in image.shape[:2])
    across = torch.exp(-(((columns - pixels[:, :1]) / radius) ** 2) / 2)
    down = torch.exp(-(((rows - pixels[:, 1:]) / radius) ** 2) / 2)
    bright = torch.ones_like(image[..., 0])
    for row, column in zip(down, across, strict=True):
        bright = bright * (1 - row[:, None] * column)
    return image * bright[..., None]


def _tensor(values: Sequence[float | int]) -> Float[Tensor, " n"]:
    return torch.tensor(list(values), dtype=torch.float64)
