"""Losses are computed in single precision at least, whatever the model computes in."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def in_full(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`forward(self, prediction, target)` outside autocast, with float32 where less was given.

    Spectra are differences of large sums: bf16 has three digits, of which none would be left.
    """

    @wraps(forward)
    def whole(self: Any, prediction: Tensor, target: Tensor) -> Tensor:
        with torch.autocast(prediction.device.type, enabled=False):
            return forward(self, at_least_single(prediction), at_least_single(target))

    return whole


def at_least_single(x: Tensor) -> Tensor:
    """`x`, in float32 where it has fewer digits."""
    return x.float() if x.dtype.itemsize < 4 else x
