"""Signals that announce the end of a job: the handlers set a flag, and the training loop reads it.

Nothing is imported here that takes time: a signal before its handler stands ends the process.
"""

import signal
from types import FrameType

#: `--signal=USR1@…` before the time limit; TERM at preemption and from `scancel`.
ANNOUNCED = (signal.SIGUSR1, signal.SIGTERM)

_received = 0


def install() -> None:
    """Has the signals noted from now on; what was noted before stays."""
    for number in ANNOUNCED:
        signal.signal(number, _note)


def received() -> int:
    """The number of the signal that came last; 0 where none did."""
    return _received


def _note(number: int, frame: FrameType | None) -> None:
    global _received
    _received = number
