"""Several processes of one command on this machine, as srun would start them on a cluster."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from sciml.contracts import UserError

#: Set in a process that is one of several already.
MARK = "WORLD_SIZE"


def are_to_start(ranks: int) -> bool:
    """Whether so many ranks are wanted, and this process is none of them yet."""
    if ranks < 1:
        raise UserError(f"ranks: expected a number >= 1, got {ranks}")
    placed = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1
    return ranks > 1 and MARK not in os.environ and not placed


def together(words: Sequence[str], ranks: int) -> None:
    """Runs `sciml words` as so many ranks.

    What rank 0 says is shown, of the others only why one failed; the rest are ended then, and this
    process with its exit code.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [_start(words, rank, ranks, port) for rank in range(ranks)]
    try:
        code = _first_failure(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    if code:
        sys.exit(code)


def _start(words: Sequence[str], rank: int, ranks: int, port: int) -> subprocess.Popen:
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        MARK: str(ranks),
        "LOCAL_WORLD_SIZE": str(ranks),
        "TORCHELASTIC_RUN_ID": "sciml",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "sciml", *words],
        env=os.environ | place,
        stdout=subprocess.DEVNULL if rank else None,
        stderr=subprocess.PIPE,
        text=True,
    )


def _first_failure(processes: Sequence[subprocess.Popen]) -> int:
    while True:
        codes = [process.poll() for process in processes]
        failed = [n for n, code in enumerate(codes) if code]
        if failed:
            print(processes[failed[0]].communicate()[1], end="", file=sys.stderr)
            return codes[failed[0]] or 1
        if all(code == 0 for code in codes):
            print(processes[0].communicate()[1], end="", file=sys.stderr)
            return 0
        time.sleep(0.05)
