"""Locks on files between processes; the operating system lets go of them however a process ends.

On a file system without locks, as parallel ones are mounted at times, every lock is had at once.
"""

import errno
import fcntl
from typing import IO

from sciml.contracts import UserError

_UNKNOWN = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


def take(file: IO, shared: bool = False, wait: bool = False) -> bool:
    """Whether this process now has the lock of an open file, until that is closed.

    Args:
        shared: others may have it too, if they also share.
        wait: for others to let go; False answers at once.

    Raises:
        UserError: the file system refuses locks that it knows.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise UserError(f"{file.name} could not be locked: {error.strerror}") from error
    return True
