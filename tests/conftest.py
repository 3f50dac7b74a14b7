"""What every test may rely on: one thread, no accelerator, checked axis names.

Modules of `sciml` that annotate tensors by named axes (they import `jaxtyping`) are checked at run
time by beartype, in test sessions only: a `[n, 1]` where `[n]` was promised is refused.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"

import jaxtyping
import pytest

ROOT = Path(__file__).resolve().parents[1]


def checked_modules(package: Path) -> list[str]:
    """The modules whose annotations name axes: those that import `jaxtyping`."""
    return [
        ".".join((package.name, *file.relative_to(package).with_suffix("").parts))
        for file in sorted(package.rglob("*.py"))
        if file.stem != "__init__" and "from jaxtyping import" in file.read_text(encoding="utf-8")
    ]


HOOK = jaxtyping.install_import_hook(checked_modules(ROOT / "sciml"), "beartype.beartype")


def pytest_configure(config: pytest.Config) -> None:
    """Hide accelerators unless `-m gpu` asks for them, here and in the processes tests start."""
    chosen = config.option.markexpr
    if "gpu" not in chosen or "not gpu" in chosen:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(autouse=True)
def _defaults_untouched() -> Iterator[None]:
    """No test, and no import inside one, may change torch's default dtype or device."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_default_device"):
        left = (torch.get_default_dtype(), torch.get_default_device().type)
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
        assert left == (torch.float32, "cpu"), f"default dtype and device were left at {left}"
