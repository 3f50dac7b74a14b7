"""Ranks as forks of the test's own process: the imports are already paid for."""

import os
import time
from collections.abc import Callable

from ranks.processes import free_port, place


def start(ranks: int, work: Callable[[int], None]) -> list[int]:
    """Process ids of `ranks` forks, each of which does `work(rank)` and ends with 0, or with 1
    where that raises; they find each other as under torchrun, one process a node.
    """
    port, children = free_port(), []
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.environ.update(place(rank, ranks, port))
                work(rank)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    return children


def ended(children: list[int], within: float) -> dict[int, int]:
    """Process id → exit code (minus the signal that killed it) of those that have ended."""
    found: dict[int, int] = {}
    end = time.monotonic() + within
    while len(found) < len(children) and time.monotonic() < end:
        for child in children:
            if child not in found and (answer := os.waitpid(child, os.WNOHANG))[0]:
                found[child] = os.waitstatus_to_exitcode(answer[1])
        time.sleep(0.01)
    return found
