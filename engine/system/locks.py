"""File locks between processes. The operating system releases a lock when its process ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def exclusive(descriptor: int) -> Iterator[None]:
    """Waits until no other process holds the lock, and takes it. Closes the descriptor at the end.

    Open the lock file with `engine.system.files`, which follows no link and truncates no file.
    """
    try:
        try:
            import fcntl
        except ImportError:  # Windows: no process waits, and the last one to write a file wins
            pass
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
