"""A film of a figure: one GIF, small enough, in which nothing trembles from frame to frame."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from sciml import atomic

#: Frames per second, and dots per inch at most.
RATE, DOTS = 4, 100


def shown(frames: int, most: int) -> np.ndarray:
    """Indices of at most `most` of so many frames, evenly and with the last."""
    return np.arange(frames - 1, -1, -max(1, -(-frames // most)))[::-1]


def write(
    path: Path,
    figure: Figure,
    show: Callable[[int], None],
    frames: np.ndarray,
    most: int,
    rate: float = RATE,
) -> None:
    """Writes a GIF atomically, with fewer dots per inch until it fits.

    Args:
        figure: drawn, with its first frame.
        show: changes the figure to one of `frames`.
        frames: what `show` is given, one after the other.
        most: bytes, at most.
        rate: frames per second.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # or else panels tremble as the title's width changes
    dots = DOTS
    film = _film(figure, show, frames, rate, dots)
    while len(film) > most:
        dots = int(dots * min(0.9, (most / len(film)) ** 0.5))
        film = _film(figure, show, frames, rate, dots)
    atomic.write(path, film)


def _film(
    figure: Figure, show: Callable[[int], None], frames: np.ndarray, rate: float, dots: int
) -> bytes:
    def draw(frame: int) -> list:
        show(frame)
        return []

    with TemporaryDirectory() as folder:
        path = Path(folder) / "film.gif"
        film = FuncAnimation(figure, draw, frames=frames, cache_frame_data=False)
        film.save(path, writer=PillowWriter(fps=rate), dpi=dots)
        return path.read_bytes()
