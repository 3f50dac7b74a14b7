"""Points with what belongs to them, and the batch of a PINN: named sets of points."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Points:
    """Points of a domain and what is known at them.

    Args:
        x: `[n, d]`, columns in the order of the domain's coordinates.
        normal: `[n, d]`, outward unit normal of the boundary, 0 in the column of time.
        target: name of a field → its value there `[n]`.
        image: `[n, d]`, the partner of each point under periodicity.
        weight: `[n]`, >= 0 and 1 in the mean over all ranks: of each square in the mean that is a
            term.
    """

    x: Tensor
    normal: Tensor | None = None
    target: Mapping[str, Tensor] | None = None
    image: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice) -> "Points":
        return Points(
            self.x[rows],
            None if self.normal is None else self.normal[rows],
            None if self.target is None else {k: v[rows] for k, v in self.target.items()},
            None if self.image is None else self.image[rows],
            None if self.weight is None else self.weight[rows],
        )

    def counting(self, factor: float) -> "Points":
        """The same points, whose squares count `factor` times."""
        weight = torch.ones_like(self.x[:, 0]) if self.weight is None else self.weight
        return replace(self, weight=factor * weight)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Points":
        device = torch.device(device)
        if self.x.dtype == dtype and self.x.device == device:
            return self
        return Points(
            self.x.to(device, dtype),
            None if self.normal is None else self.normal.to(device, dtype),
            None if self.target is None else _moved(self.target, device, dtype),
            None if self.image is None else self.image.to(device, dtype),
            None if self.weight is None else self.weight.to(device, dtype),
        )


def _moved(
    values: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    return {name: value.to(device, dtype) for name, value in values.items()}


@final
@dataclass(frozen=True, eq=False)
class Block:
    """The points of several consecutive steps, drawn and moved at once.

    Args:
        points: name → points of all steps, one step after the other.
        sizes: name → points of one step.
    """

    points: Mapping[str, Points]
    sizes: Mapping[str, int]
    moved: dict[tuple[torch.device, torch.dtype], "Block"] = field(default_factory=dict, repr=False)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Block":
        key = (device, dtype)
        if key not in self.moved:
            points = {name: p.to(device, dtype) for name, p in self.points.items()}
            self.moved[key] = Block(points, self.sizes)
        return self.moved[key]

    def step(self, index: int, rank: int = 0, ranks: int = 1) -> "Collocation":
        """The share of `rank` of the points of the step at `index` within the block.

        Where shares differ in size, points weigh ranks × own size / size of the set, so that the
        mean over ranks of a rank's mean is the mean of the set.
        """
        points = {}
        for name, n in self.sizes.items():
            first, last = share(n, rank, ranks)
            own = self.points[name][index * n + first : index * n + last]
            even = n % ranks == 0 or n < ranks
            points[name] = own if even else own.counting(ranks * (last - first) / n)
        return Collocation(points, (self, index, rank, ranks))


def share(n: int, rank: int, ranks: int) -> tuple[int, int]:
    """[first, last) of a rank's points among n; of fewer points than ranks every rank has all."""
    return (0, n) if n < ranks else (rank * n // ranks, (rank + 1) * n // ranks)


@final
@dataclass(frozen=True, eq=False)
class Collocation:
    """A batch: "residual" → the equations' points, each condition's name → its points.

    Args:
        points: name → points.
        origin: the block this was cut from and its place therein, so that a block moves only once.
        weights: name of an equation → weights `[n]` of its squares, beside those of the points
            (see `point_weights`).
    """

    points: Mapping[str, Points]
    origin: tuple[Block, int, int, int] | None = field(default=None, repr=False)
    weights: Mapping[str, Tensor] | None = None

    def to(self, device: torch.device | str, dtype: torch.dtype) -> "Collocation":
        device = torch.device(device)
        if all(p.x.dtype == dtype and p.x.device == device for p in self.points.values()):
            return self
        if self.origin is not None:
            block, index, rank, ranks = self.origin
            moved = block.to(device, dtype).step(index, rank, ranks)
        else:
            moved = Collocation({name: p.to(device, dtype) for name, p in self.points.items()})
        if self.weights is None:
            return moved
        return replace(moved, weights=_moved(self.weights, device, dtype))

    def place(self, name: str) -> tuple[int, int]:
        """(first, total): where these points of a set begin in it, and how many it has."""
        if self.origin is None:
            return 0, len(self.points[name])
        block, _, rank, ranks = self.origin
        return share(block.sizes[name], rank, ranks)[0], block.sizes[name]

    @property
    def ranks(self) -> int:
        """How many share the sets."""
        return 1 if self.origin is None else self.origin[3]
