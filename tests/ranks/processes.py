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
    port = str(free_port())
    processes = [_start(command, rank, ranks, port, more or {}, folder) for rank in range(ranks)]
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


def _start(
    command: Sequence[str],
    rank: int,
    ranks: int,
    port: str,
    more: Mapping[str, str],
    folder: Path,
) -> subprocess.Popen:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "GLOO_SOCKET_IFNAME": "lo",
        **more,
    }
    if ranks > 1:
        environment |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "RANK": str(rank),
            "LOCAL_RANK": "0",
            "GROUP_RANK": str(rank),
            "WORLD_SIZE": str(ranks),
            "LOCAL_WORLD_SIZE": "1",
            "TORCHELASTIC_RUN_ID": "test",
        }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
