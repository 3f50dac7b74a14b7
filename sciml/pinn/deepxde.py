"""The door to deepxde: imports it late and undoes what the import does to torch's global defaults.

deepxde (PyTorch backend) announces itself on stderr, points torch's default device at an
accelerator if there is one, reads its precision and its random numbers from global state. Here all
of that is kept to the length of one call.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import numpy as np
import torch


@cache
def deepxde() -> ModuleType:
    """The module `deepxde` with the PyTorch backend; torch's defaults stay as they were."""
    device, dtype = torch.get_default_device(), torch.get_default_dtype()
    chosen = os.environ.get("DDE_BACKEND")
    if "deepxde" not in sys.modules:
        os.environ["DDE_BACKEND"] = "pytorch"
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            import deepxde as module
    finally:
        _restore(device, dtype)
        if chosen is not None:
            os.environ["DDE_BACKEND"] = chosen
    return module


def _restore(device: torch.device, dtype: torch.dtype) -> None:
    if torch.get_default_device() != device:
        torch.set_default_device(None if device.type == "cpu" else device)
    if torch.get_default_dtype() != dtype:
        torch.set_default_dtype(dtype)


@contextlib.contextmanager
def double_precision() -> Iterator[ModuleType]:
    """deepxde's geometry in float64, whatever precision a user's script has set."""
    module = deepxde()
    real = module.config.real
    before = real.precision
    real.set_float64()
    try:
        yield module
    finally:
        getattr(real, f"set_float{before}")()


@contextlib.contextmanager
def drawing(rng: np.random.Generator) -> Iterator[ModuleType]:
    """deepxde draws from numpy's global generator: seeded from `rng` here, restored afterwards."""
    state = np.random.get_state()
    np.random.seed(rng.integers(2**32, dtype=np.uint32))
    try:
        with double_precision() as module, contextlib.redirect_stdout(io.StringIO()):
            yield module
    finally:
        np.random.set_state(state)
