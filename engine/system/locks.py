"""Locks on files: one process at a time. The system drops a lock when its process ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exclusive(descriptor: int) -> Iterator[None]:
    """Waits until no other process has the file locked, and locks it. Closes it at the end.

    Open a lock file by `engine.system.files`, which follows no link and empties no file.
    """
    try:
        try:
            import fcntl
        except ImportError:  # not a POSIX system: nobody waits, and the last file written stays
            pass
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
