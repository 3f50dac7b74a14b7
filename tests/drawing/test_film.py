"""Which frames of a film are shown."""

import numpy as np
import pytest

from sciml.drawing import film


def test_short_films_are_whole() -> None:
    assert film.shown(20, 25).tolist() == list(range(20))


@pytest.mark.parametrize("frames", [26, 60, 241])
def test_long_films_are_thinned_evenly_and_end_with_the_last_frame(frames: int) -> None:
    chosen = film.shown(frames, 25)
    assert len(chosen) <= 25 and chosen[-1] == frames - 1
    assert len(set(np.diff(chosen))) == 1
