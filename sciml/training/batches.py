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


def dealt(
    batches: Iterable[Any], rank: int, ranks: int, evenly: bool = False
) -> Iterator[tuple[Any, bool]]:
    """A rank's share of some batches, each with whether it counts.

    Args:
        evenly: every rank has equally many, for models that all ranks compute together; where they
            do not go round, some have the last one again, which does not count.
    """
    last = None
    for number, batch in enumerate(batches):
        last = batch
        if number % ranks == rank:
            yield batch, True
    if evenly and last is not None and 0 < (number + 1) % ranks <= rank:
        yield last, False


def several(batches: Iterator[Any], count: int, step: int) -> list[Any]:
    """The next `count` batches, for the step of that number.

    Raises:
        UserError: there are no more.
    """
    found = list(itertools.islice(batches, count))
    if len(found) < count:
        raise UserError(f"data: expected batches without end, got the last before step {step}")
    return found
