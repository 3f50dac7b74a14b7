"""The names of fields and their derivatives (`u`, `u_xx`), and the nearest to a mistyped one."""

import difflib
from collections.abc import Iterable, Iterator

from sciml.calculus.pointwise.names import parse
from sciml.contracts import UserError


def nearest(name: str, known: Iterable[str]) -> str:
    """Ends an error message: `did you mean 'u_x'?`, or the names there are."""
    known = tuple(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(known)


def is_field(name: str, unknowns: tuple[str, ...], coordinates: tuple[str, ...]) -> bool:
    """Whether `name` is an unknown, or an unknown, an underscore and letters of coordinates."""
    if not unknowns:
        return False
    try:
        parse(name, unknowns, coordinates)
    except UserError:
        return False
    return True


def fields(unknowns: tuple[str, ...], coordinates: tuple[str, ...]) -> Iterator[str]:
    """Every unknown with its first and second derivatives."""
    for unknown in unknowns:
        yield unknown
        for a in coordinates:
            yield f"{unknown}_{a}"
        for i, a in enumerate(coordinates):
            yield from (f"{unknown}_{a}{b}" for b in coordinates[i:])
