"""Constant tables of a module, which follow its dtype and device without losing digits."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import Tensor, nn


@final
class Tables(nn.Module):
    """Non-persistent buffers made by a function in float64.

    A buffer that has been cast to float32 keeps float32's digits when it is cast back. Where the
    dtype gets wider the tables are therefore made again: nothing is kept in float64 meanwhile, and
    checkpoints hold none of them.

    Args:
        make: `() -> {name: float64 array}`; a module-level function or a `partial` of one, so that
            modules can be pickled.
    """

    def __init__(self, make: Callable[[], Mapping[str, np.ndarray]]) -> None:
        super().__init__()
        self._make = make
        for name, table in make().items():
            tensor = torch.tensor(table, dtype=torch.get_default_dtype())
            self.register_buffer(name, tensor, persistent=False)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Tensor: ...

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "Tables":
        """What `.to()`, `.double()`, `.half()` and `.cuda()` come down to."""
        before = {name: table.dtype for name, table in self.named_buffers()}
        super()._apply(fn, recurse)
        if any(_wider(table.dtype, before[name]) for name, table in self.named_buffers()):
            for name, exact in self._make().items():
                self._buffers[name] = torch.tensor(exact).to(getattr(self, name))
        return self


def _wider(new: torch.dtype, old: torch.dtype) -> bool:
    return torch.finfo(new).eps < torch.finfo(old).eps
