"""Batches as Lightning counts them, and as a step takes them."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, final

from sciml.contracts import UserError


@final
class Drawn:
    """An iterable drawn anew each time; Lightning takes it for one loader, unlike a list."""

    def __init__(self, draw: Callable[[], Iterable[Any]]) -> None:
        self.draw = draw

    def __iter__(self) -> Iterator[Any]:
        return iter(self.draw())


def several(batches: Iterator[Any], count: int, step: int) -> list[Any]:
    """The next `count` batches, for the step of that number.

    Raises:
        UserError: there are no more.
    """
    found = list(itertools.islice(batches, count))
    if len(found) < count:
        raise UserError(f"data: expected batches without end, got the last before step {step}")
    return found
