"""What a dense least-squares step takes, estimated before any of it is taken."""

import os
from pathlib import Path

import torch

from sciml.contracts import UserError

#: Share of the free memory that a step may take.
SHARE = 0.8


def free_bytes(device: torch.device) -> int | None:
    """Memory that the device can still give; None where it does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return min(1024 * int(line.split()[1]), allowed_bytes())
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def allowed_bytes(group: Path = Path("/sys/fs/cgroup")) -> float:
    """What a container or a batch job may still take (control groups, version 2); else infinite."""
    try:
        limit = (group / "memory.max").read_text().strip()
        used = (group / "memory.current").read_text().strip()
        return float("inf") if limit == "max" else max(int(limit) - int(used), 0)
    except (OSError, ValueError):
        return float("inf")


def needed_bytes(rows: int, parameters: int, solver: str, itemsize: int = 8) -> int:
    """Bytes of J and of what the solver factorises, at their largest.

    Args:
        solver: one of `SOLVERS`, or "lstsq"; "shrunk" for that with a multiple of the identity
            below J, which is there itself, in the matrix joined of both, and in LAPACK's copy.
    """
    jacobian = rows * parameters
    factored = {
        "cholesky": 3 * parameters**2,
        "woodbury": jacobian + 3 * rows**2,
        "qr": 2 * jacobian + 6 * parameters**2,
        "lstsq": 2 * jacobian,
        "shrunk": 2 * jacobian + 3 * parameters**2,
        "cg": 100 * parameters,
    }
    return itemsize * (2 * jacobian + factored[solver])


def require(
    rows: int, parameters: int, solver: str, device: torch.device, remedy: str = ""
) -> None:
    """Refuses a step in double precision that would not fit.

    Args:
        remedy: what this optimiser offers, before what always helps.

    Raises:
        UserError: with both numbers.
    """
    needed, free = needed_bytes(rows, parameters, solver), free_bytes(device)
    if free is not None and needed > SHARE * free:
        raise UserError(
            f"optimizer: a dense least-squares step of {rows} residuals and {parameters} "
            f"parameters takes {needed / 2**30:.1f} GiB, {free / 2**30:.1f} GiB are free; "
            f"{remedy}take fewer points or a smaller network"
        )
