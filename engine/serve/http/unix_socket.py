"""A Unix socket to listen on, `bge serve --uds`."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from engine.errors import EngineError


@contextlib.contextmanager
def unix_listener(path: str) -> Iterator[socket.socket]:
    """A socket bound to `path`, with the mode that the umask leaves; removed at the end.

    The socket of a server that has died is replaced. EngineError if a living one has it, or if it
    cannot be made.
    """
    with contextlib.ExitStack() as undo:
        try:
            undo.enter_context(_locked(path))
            _remove_dead(path)
            listener = undo.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(path)
        except OSError as error:
            raise EngineError(
                f"cannot listen on the Unix socket {path}: {error.strerror or error}; choose "
                "another path with --uds."
            ) from error
        undo.callback(Path(path).unlink, missing_ok=True)
        yield listener


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Holds a lock on PATH.lock: a server that still loads its models accepts no connection, as if
    it were dead. The file of the lock stays, because another server may wait to open it."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EADDRINUSE, "another server has it") from None
        yield
    finally:
        os.close(lock)


def _remove_dead(path: str) -> None:
    """Removes a socket that nobody listens on. OSError for one that somebody does, or a file."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise OSError(errno.EADDRINUSE, "another program listens on it")
