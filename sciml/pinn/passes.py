"""Which sets of points go through the network together: those that ask for the same derivatives."""

from collections.abc import Callable, Hashable, Mapping

from torch import Tensor

from sciml.pinn.fields import Asked
from sciml.pinn.points import Collocation

#: The key of a set, whether it is the images of its points, and the points `[n, d]`.
Set = tuple[str, bool, Tensor]


def shared_passes(
    batch: Collocation,
    asked: Mapping[str, Asked],
    apart: Callable[[str], Hashable] = lambda key: None,
) -> dict[tuple[frozenset[str], Hashable], list[Set]]:
    """What one call of the network computes → the sets it serves, one after the other.

    Args:
        apart: sets for which this differs are not served by one call.
    """
    passes: dict[tuple[frozenset[str], Hashable], list[Set]] = {}
    for key, what in asked.items():
        points = batch.points[key]
        if what.names:
            passes.setdefault((what.names, apart(key)), []).append((key, False, points.x))
        if points.image is not None and what.image:
            passes.setdefault((what.image, apart(key)), []).append((key, True, points.image))
    return passes
