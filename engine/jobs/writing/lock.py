"""One job at a time writes to an output."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import EngineError
from engine.jobs.writing.folders import Folders
from engine.system.files import opened


@contextmanager
def locked(folders: Folders) -> Iterator[None]:
    """Make the folders and hold their lock. EngineError: another job holds it."""
    folders.create()
    path = folders.job / "lock"
    with os.fdopen(opened(path, os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = lock.read().strip() or "unknown"
            raise EngineError(
                f"another job is writing to {str(folders.data)!r} (process {holder}); wait for it, "
                "stop it, or name another output."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {os.uname().nodename}")
        lock.flush()
        yield
