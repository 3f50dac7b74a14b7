"""Several processes of one command on this machine, as srun would start them on a cluster."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO

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
    with ExitStack() as stack:
        said = [stack.enter_context(TemporaryFile("w+")) for _ in range(ranks)]
        processes = [_start(words, rank, port, said) for rank in range(ranks)]
        try:
            code = _first_failure(processes, said)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    if code:
        sys.exit(code)


def _start(words: Sequence[str], rank: int, port: int, said: Sequence[IO]) -> subprocess.Popen:
    """A rank; its errors go to a file of its own, which never fills as a pipe does."""
    ranks = str(len(said))
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        MARK: ranks,
        "LOCAL_WORLD_SIZE": ranks,
        "TORCHELASTIC_RUN_ID": "sciml",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "sciml", *words],
        env=os.environ | place,
        stdout=subprocess.DEVNULL if rank else None,
        stderr=said[rank],
    )


def _first_failure(processes: Sequence[subprocess.Popen], said: Sequence[IO]) -> int:
    """The exit code of the first that fails, whose errors are shown; 0 when all have ended well."""
    while True:
        codes = [process.poll() for process in processes]
        failed = [rank for rank, code in enumerate(codes) if code]
        if failed or all(code == 0 for code in codes):
            shown = failed[0] if failed else 0
            said[shown].seek(0)
            print(said[shown].read(), end="", file=sys.stderr)
            return codes[shown] or 0
        time.sleep(0.05)
