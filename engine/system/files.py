"""Files that decide what is computed or run, and so must be this user's own.

A file is trusted if this user or root owns it and nobody else may write to it. The opened
descriptor is tested, not the path, and a link in the last place is not followed, so it does not
matter what others do with the path meanwhile. The folder must pass the same test, and files are
opened relative to its descriptor. Folders above it are not tested: a user who can exchange those
can only lead to another folder, which must pass the test in its turn. A sticky bit, as /tmp has, is
not enough: others can put files there.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from engine.system.locks import exclusive

# Windows has none of these but O_BINARY. O_NONBLOCK: opening a pipe must not wait for a writer.
FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class NotPrivate(OSError):
    """A file or folder that somebody else may have written, or a link to one."""


def opened(path: Path, flags: int, mode: int = 0, folder: int | None = None) -> int:
    """The descriptor of a regular file. NotPrivate for anything else, and for a symbolic link.

    To write, also for a hard link: the other file's content would be lost. folder: the descriptor
    of the file's folder, where that is open.
    """
    place = path if folder is None else path.name
    try:
        descriptor = os.open(place, flags | FLAGS, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotPrivate(f"{path} is a link; give the place that it leads to") from error
        raise
    found, writes = os.fstat(descriptor), flags & (os.O_RDWR | os.O_WRONLY)
    if not stat.S_ISREG(found.st_mode) or (writes and found.st_nlink > 1):
        os.close(descriptor)
        raise NotPrivate(f"{path} is not a regular file, or a hard link; remove it")
    return descriptor


def check_private(descriptor: int, path: Path) -> None:
    """Raises NotPrivate unless this user or root owns it, and nobody else may write to it."""
    if not hasattr(os, "geteuid"):
        return  # Windows: modes say nothing there, and a user's folders are closed to other users
    found = os.fstat(descriptor)
    if found.st_uid not in (0, os.geteuid()):
        raise NotPrivate(
            f"{path} belongs to another user (uid {found.st_uid}, this one is {os.geteuid()})"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        raise NotPrivate(f"{path} can be written by others (mode {mode:o}): chmod go-w {path}")


def opened_private(path: Path, flags: int, mode: int = 0, folder: int | None = None) -> int:
    """As `opened`; NotPrivate also where somebody else may have written the file."""
    descriptor = opened(path, flags, mode, folder)
    try:
        check_private(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def identity(found: os.stat_result) -> list[int]:
    """What changes when a file does. Its change time (ctime) cannot be set back by a program."""
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


class PrivateFolder:
    """A folder of this user's, held open. Where it is missing it is made.

    OSError where it cannot be opened or made, NotPrivate where others may write to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        if not path.is_symlink():
            path.mkdir(mode=0o755, parents=True, exist_ok=True)
        if os.open in os.supports_dir_fd:
            self._descriptor = self._open()

    def _open(self) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except NotADirectoryError as error:
            raise NotPrivate(f"{self.path} is a link or a file, not a folder") from error
        try:
            check_private(descriptor, self.path)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def read(self, name: str) -> BinaryIO:
        """A file of the folder, for reading. FileNotFoundError, NotPrivate, another OSError."""
        return os.fdopen(self._opened(name, os.O_RDONLY), "rb")

    def write(self, name: str, fill: Callable[[BinaryIO], object]) -> None:
        """Makes or replaces a file, which `fill` writes: whole and on the disk, or not at all."""
        part = f"{name}.part"
        with suppress(FileNotFoundError):  # its writer was killed
            self.remove(part)
        try:
            new = self._opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with os.fdopen(new, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            here = self._descriptor
            os.replace(self._place(part), self._place(name), src_dir_fd=here, dst_dir_fd=here)
            if here is not None:
                with suppress(OSError):  # not every file system syncs folders
                    os.fsync(here)
        finally:
            with suppress(OSError):
                self.remove(part)

    def remove(self, name: str) -> None:
        """Removes a file of the folder."""
        os.unlink(self._place(name), dir_fd=self._descriptor)

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """One process at a time; the lock is the file `name` of the folder."""
        with exclusive(self._opened(name, os.O_RDWR | os.O_CREAT, 0o600)):
            yield

    def _opened(self, name: str, flags: int, mode: int = 0) -> int:
        return opened_private(self.path / name, flags, mode, self._descriptor)

    def _place(self, name: str) -> str | Path:
        return self.path / name if self._descriptor is None else name
