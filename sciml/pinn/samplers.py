"""Ways to fill the unit cube: each is `(n, d, rng, sets) -> [sets·n, d]` in [0, 1).

Rows `k·n … (k+1)·n` are set `k`, evenly spread by itself; a domain stretches the cube over its
bounding box and keeps what lies inside.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import qmc

#: `(n, d, rng, sets) -> [sets·n, d]`.
UnitSampler = Callable[[int, int, np.random.Generator, int], np.ndarray]


def uniform(n: int, d: int, rng: np.random.Generator, sets: int = 1) -> np.ndarray:
    """Independent points: the mean of a function has variance var/n."""
    return rng.random((sets * n, d))


def sobol(n: int, d: int, rng: np.random.Generator, sets: int = 1) -> np.ndarray:
    """A scrambled Sobol sequence; set `k` is its `k`-th stretch; n is best a power of 2."""
    sequence = qmc.Sobol(d, scramble=True, rng=rng)
    power = max(sets * n - 1, 1).bit_length()
    return sequence.random_base2(power)[: sets * n]


def latin_hypercube(n: int, d: int, rng: np.random.Generator, sets: int = 1) -> np.ndarray:
    """Each axis is cut into n slices; each slice of each axis holds exactly one point of a set."""
    slices = rng.permuted(np.broadcast_to(np.arange(n), (sets, d, n)), axis=-1)
    return ((slices + rng.random((sets, d, n))) / n).transpose(0, 2, 1).reshape(sets * n, d)
