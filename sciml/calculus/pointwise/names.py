"""Names of partial derivatives: `psi_xyy` is the unknown `psi` by x once and by y twice."""

from collections.abc import Sequence

from sciml.contracts import UserError


def parse(
    name: str, unknowns: Sequence[str], coordinates: Sequence[str]
) -> tuple[int, tuple[int, ...]]:
    """The column of the unknown and the sorted columns of the coordinates, one for each derivative.

    Args:
        name: an unknown, or an unknown, `_` and one letter for each derivative, in any order.
        unknowns: names of the function's outputs, in column order.
        coordinates: one-letter names of its inputs, in column order.

    Returns:
        `(column, letters)`: `psi_xyy` of unknowns (p, psi) over (x, y) is `(1, (0, 1, 1))`.

    Raises:
        UserError: no unknown has that name, or a letter is not a coordinate.
    """
    if name in unknowns:
        return list(unknowns).index(name), ()
    owners = [unknown for unknown in unknowns if name.startswith(f"{unknown}_")]
    if not owners:
        raise UserError(
            f"derivatives: expected a name made of one of the unknowns {', '.join(unknowns)}, "
            f"got {name!r}; write it like {unknowns[0]}_{coordinates[0]}"
        )
    owner = max(owners, key=len)
    letters = name[len(owner) + 1 :]
    wrong = [letter for letter in letters if letter not in coordinates]
    if wrong or not letters:
        raise UserError(
            f"derivatives: expected letters out of {', '.join(coordinates)} after {owner}_, "
            f"got {name!r}; write it like {owner}_{coordinates[0]}"
        )
    places = sorted(list(coordinates).index(letter) for letter in letters)
    return list(unknowns).index(owner), tuple(places)
