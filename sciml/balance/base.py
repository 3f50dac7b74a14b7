"""What the balancing rules share: scalars by term name in buffers, and the choice of terms."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sciml.contracts import UserError


class NamedScalars(nn.Module):
    """Scalars keyed by term name, kept in buffers.

    They are in the checkpoint, move with the module, and a term that has not been seen yet starts
    at its default; so they resume exactly and survive a change of phase.
    """

    def get(self, name: str, default: Tensor) -> Tensor:
        """The value of `name`; `default` (detached) where it has none yet."""
        value = self._buffers.get(name)
        return default.detach() if value is None else value

    def put(self, name: str, value: Tensor) -> None:
        """Store a detached copy of the scalar `value` under `name`."""
        self.register_buffer(name, value.detach().clone())

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for key in [key for key in state_dict if key.startswith(prefix)]:
            name = key.removeprefix(prefix)
            if "." not in name and name not in self._buffers:
                self.register_buffer(name, torch.zeros_like(state_dict[key]))
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


def as_scalars(weights: Mapping[str, float], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` as detached scalars in dtype and device of the terms; 1 where none is given."""
    return {
        name: torch.as_tensor(weights.get(name, 1.0), dtype=term.dtype, device=term.device)
        for name, term in like.items()
    }
