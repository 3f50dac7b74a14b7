"""Exact symmetries of a rotating sphere without mountains, as further samples for nothing.

    turn     f(φ, λ) → f(φ, λ - λ_0)          by whole grid points
    mirror   f(φ, λ) → ±f(-φ, λ)              - for northward components and for what has a sense
                                              of rotation about the vertical

Neither holds for an atmosphere above continents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from sciml.contracts import UserError
from sciml.globe.channels import Channels

#: CF standard names of what changes its sign in a mirror.
_ODD = ("northward", "vorticity")


@final
@dataclass(frozen=True)
class Symmetries:
    """Turns and mirrors samples at random.

    Args:
        turn: by any number of grid points in longitude.
        mirror: at the equator, every second sample on average.
        odd: names of channels and forcings that change sign in the mirror, besides those whose
            standard name says so (northward components, vorticity).
    """

    turn: bool = True
    mirror: bool = True
    odd: Sequence[str] = ()

    def check(self, grid: Any, names: Sequence[str]) -> None:
        """Refuses a grid that is no whole globe or differs from its mirror image.

        Raises:
            UserError: such a grid, or a name in `odd` that there is not.
        """
        regular = len(grid.shape) == 2 and grid.is_global
        if not regular or not np.allclose(grid.lat, -grid.lat[::-1], atol=1e-3):
            raise UserError(
                "symmetries: expected a global latitude-longitude grid that is its own mirror "
                "image; set symmetries=null"
            )
        unknown = [name for name in self.odd if name not in names]
        if unknown:
            raise UserError(
                f"symmetries: expected odd among {', '.join(names)}, got {unknown[0]!r}"
            )

    def signs(self, channels: Channels | None, names: Sequence[str]) -> np.ndarray:
        """`[C]` -1 for what changes its sign in the mirror, else 1."""
        named = dict.fromkeys(names, "")
        if channels is not None:
            named = {channel.name: channel.standard_name for channel in channels}
        odd = [
            name in self.odd or any(word in standard for word in _ODD)
            for name, standard in named.items()
        ]
        return np.where(odd, -1.0, 1.0).astype(np.float32)

    def draw(self, rng: np.random.Generator, count: int, longitudes: int) -> list[tuple[int, bool]]:
        """For each sample by how many points it is turned and whether it is mirrored."""
        turns = rng.integers(longitudes, size=count) if self.turn else np.zeros(count, int)
        mirrors = rng.random(count) < 0.5 if self.mirror else np.zeros(count, bool)
        return [(int(turn), bool(mirror)) for turn, mirror in zip(turns, mirrors, strict=True)]


def move(fields: np.ndarray, signs: np.ndarray, turn: int, mirror: bool, into: np.ndarray) -> None:
    """Puts `[..., C, lat, lon]` turned eastward by 0 <= turn < n_lon points and mirrored `into`."""
    seen = fields[..., ::-1, :] if mirror else fields
    into[..., turn:] = seen[..., : fields.shape[-1] - turn]
    into[..., :turn] = seen[..., fields.shape[-1] - turn :]
    if mirror:
        into[..., signs < 0, :, :] *= -1
