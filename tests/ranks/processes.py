"""Processes that stand for the ranks of one run on this machine, joined by gloo."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def together(
    command: Sequence[str],
    ranks: int,
    more: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    seconds: float = 300,
) -> list[tuple[int, str]]:
    """Exit code and what was said of `python command` on each of so many ranks.

    They stand under the environment that torchrun gives, one process a node.
    """
    port = free_port()
    places = [place(rank, ranks, port) for rank in range(ranks)]
    processes = [_start(command, here, more or {}, folder) for here in places]
    try:
        said = [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def place(rank: int, ranks: int, port: int) -> dict[str, str]:
    """The environment that torchrun gives to a rank, one process a node; none to a single one."""
    if ranks == 1:
        return {}
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "RANK": str(rank),
        "LOCAL_RANK": "0",
        "GROUP_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "LOCAL_WORLD_SIZE": "1",
        "TORCHELASTIC_RUN_ID": "test",
    }


def _start(
    command: Sequence[str], here: Mapping[str, str], more: Mapping[str, str], folder: Path
) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | here | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
