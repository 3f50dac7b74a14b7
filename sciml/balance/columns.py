"""Which columns of the gradient rows a rule looks at: all, or those of some layers."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

from torch import Tensor

from sciml.contracts import Step, UserError

#: Which parameters a rule looks at: None for all, "last" for those of the last layer with a weight
#: matrix, else patterns (`fnmatch`) of their names.
Within = str | Sequence[str] | None


def names_within(parameters: Mapping[str, Tensor], within: Within) -> list[str] | None:
    """The names that `within` picks, in the order of a row; None for all parameters.

    Raises:
        UserError: it picks none.
    """
    if within is None:
        return None
    if within == "last":
        matrices = [name for name, parameter in parameters.items() if parameter.ndim == 2]
        layer = matrices[-1].rpartition(".")[0] if matrices else None
        picked = [name for name in parameters if name.rpartition(".")[0] == layer]
    else:
        patterns = [within] if isinstance(within, str) else list(within)
        picked = [n for n in parameters if any(fnmatch(n, pattern) for pattern in patterns)]
    if not picked:
        known = ", ".join(list(parameters)[:4])
        raise UserError(
            f"balancer: within={within} picks no trained parameter; there are {known} …; "
            "write within=last, or patterns of their names"
        )
    return picked


def rows_within(step: Step, within: Within) -> Tensor:
    """The gradient rows `[K, columns]` by the parameters that `within` picks."""
    names = names_within(step.parameters, within)
    return step.rows() if names is None else step.rows(within=names)
