"""What the balancing rules share: tensors by term name in buffers, and the choice of terms."""

import difflib
import math
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.contracts import UserError

#: Before a term's name in the name of its buffer, so that a term may be called `type` or `get`.
TERM = "term:"


@final
class NamedTensors(nn.Module):
    """Tensors keyed by term name, kept in buffers: scalars, or one vector per term.

    They are in the checkpoint, move with the module, and a term that has not been seen yet starts
    at its default; so they resume exactly and survive a change of phase. Where the default has
    another shape (another choice of trained parameters) the term starts anew. Checkpoints from
    before buffers were called `term:NAME` load as well.
    """

    def get(self, name: str, default: Tensor) -> Tensor:
        """The value of `name` in dtype and device of `default`; that one where it has none yet."""
        value = self._buffers.get(TERM + name)
        if value is None or value.shape != default.shape:
            return default.detach()
        return value.to(default)

    def stacked(self, names: Iterable[str], default: Tensor) -> Tensor:
        """The values of `names` along a new first axis; `default`'s entry where it has none."""
        return torch.stack(
            [self.get(name, value) for name, value in zip(names, default, strict=True)]
        )

    def put(self, name: str, value: Tensor) -> None:
        """Store a detached copy of `value` under `name`."""
        key = TERM + name
        if key in self._buffers:  # registering costs more than the rest of a rule
            self._buffers[key] = value.detach().clone()
        else:
            self.register_buffer(key, value.detach().clone())

    def put_all(self, names: Iterable[str], values: Tensor) -> None:
        """Store the entries of `values` under `names`."""
        for name, value in zip(names, values, strict=True):
            self.put(name, value)

    def __contains__(self, name: str) -> bool:
        return TERM + name in self._buffers

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = TERM + key.removeprefix(prefix).removeprefix(TERM)
            value = state_dict[prefix + name] = state_dict.pop(key)
            if name not in self._buffers:
                self.register_buffer(name, torch.zeros_like(value))
        super()._load_from_state_dict(state_dict, prefix, *args)


def require_terms(asked: Iterable[str], terms: Iterable[str], whose: str) -> None:
    """Refuse a name that is not a loss term.

    Raises:
        UserError: names the unknown term, the nearest one and the ones there are.
    """
    terms = tuple(terms)
    for name in asked:
        if name not in terms:
            near = difflib.get_close_matches(name, terms, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UserError(
                f"{whose}: no loss term is called {name!r}; {hint}the terms are {', '.join(terms)}"
            )


def as_scalars(weights: Mapping[str, float | int], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` as detached scalars in dtype and device of the terms; 1 where none is given."""
    return {
        name: torch.as_tensor(weights.get(name, 1.0), dtype=term.dtype, device=term.device)
        for name, term in like.items()
    }


def vector(scalars: Mapping[str, Tensor]) -> Float[Tensor, " terms"]:
    """The values of `scalars` in their order."""
    return torch.stack(tuple(scalars.values()))


def by_name(
    names: Iterable[str], values: Float[Tensor, " terms"], like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The entries of `values` by name, detached, in dtype and device of the terms `like`."""
    first = next(iter(like.values()))
    return dict(zip(names, values.detach().to(first).unbind(), strict=True))


def combined(
    rows: Float[Tensor, "terms columns"], weights: Mapping[str, Tensor]
) -> Float[Tensor, " columns"]:
    """Σ w_k g_k."""
    return vector(weights).to(rows) @ rows


def seed_of(*parts: int | str) -> int:
    """A seed from its parts alone (step, term): equal on every rank and after a resume."""
    return zlib.crc32(repr(parts).encode())


def require(
    name: str,
    value: int | float,
    *,
    least: int | float | None = None,
    above: int | float | None = None,
    most: int | float | None = None,
    below: int | float | None = None,
) -> None:
    """Refuse a number outside of its range, whose ends belong to it (least, most) or not.

    Raises:
        UserError: names the argument, its range and what came.
    """
    inside = (
        (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
        and (below is None or value < below)
    )
    if not inside:
        low = f"{least:g} <= " if least is not None else f"{above:g} < "
        high = f" <= {most:g}" if most is not None else f" < {below:g}" if below is not None else ""
        if not high:
            low, high = "", f" >= {least:g}" if least is not None else f" > {above:g}"
        raise UserError(f"balancer: expected {low}{name}{high}, got {value}")


def given_weights(weights: Mapping[str, float | int] | None) -> dict[str, float | int]:
    """Constant weights by term name, as a rule was told them.

    Raises:
        UserError: names one that is negative or not finite.
    """
    given = dict(weights or {})
    for name, value in given.items():
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"expected finite weights >= 0, got {name}={value}")
    return given
