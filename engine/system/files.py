"""Private files: they decide what is computed or run, so other users must not write to them.

A file is trusted if this user or root owns it and nobody else may write to it. The check uses the
open descriptor, not the path, and a symbolic link as the last part of the path is not followed. So
a later change of the path has no effect. The folder must pass the same check, and its files are
opened relative to its descriptor. The parent folders are not checked: whoever replaces one of them
only leads to another folder, and that folder is checked too. A sticky bit, as on /tmp, is not
enough: other users can create files there.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Self

from engine.system.locks import exclusive

# Windows has only O_BINARY. O_NONBLOCK: opening a named pipe must not wait for a writer.
FLAGS = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))


class NotPrivate(OSError):
    """A file or folder that another user may have written, or a link."""


def opened(path: Path, flags: int, mode: int = 0, folder: int | None = None) -> int:
    """Opens a regular file and returns its descriptor. flags, mode: as for `os.open`.

    folder: the descriptor of the file's folder, if it is open. Raises OSError, and NotPrivate if
    the path is a symbolic link or not a regular file. A hard link is refused for writing, because
    the content under its other name would be lost.
    """
    place = path if folder is None else path.name
    try:
        descriptor = os.open(place, flags | FLAGS, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotPrivate(
                f"{path} is a symbolic link, which is not followed; give the path it points to"
            ) from error
        raise
    found, writes = os.fstat(descriptor), flags & (os.O_RDWR | os.O_WRONLY)
    if not stat.S_ISREG(found.st_mode) or (writes and found.st_nlink > 1):
        os.close(descriptor)
        raise NotPrivate(f"{path} is not a regular file, or it is a hard link; remove it")
    return descriptor


def check_private(descriptor: int, path: Path) -> None:
    """Raises NotPrivate unless this user or root owns the open file and nobody else may write it.

    path: only for the message.
    """
    if not hasattr(os, "geteuid"):
        return  # Windows has no such modes, and a user's folders are closed to other users
    found = os.fstat(descriptor)
    if found.st_uid not in (0, os.geteuid()):
        raise NotPrivate(
            f"{path} belongs to another user (its uid is {found.st_uid}, yours {os.geteuid()}); it "
            "must be yours or root's: remove it, or use another folder"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        raise NotPrivate(
            f"{path} is writable by other users (its mode is {mode:o}); run: chmod go-w {path}"
        )


def opened_private(path: Path, flags: int, mode: int = 0, folder: int | None = None) -> int:
    """As `opened`, and raises NotPrivate if another user may have written the file."""
    descriptor = opened(path, flags, mode, folder)
    try:
        check_private(descriptor, path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def identity(found: os.stat_result) -> list[int]:
    """Values that change whenever a file changes: size (bytes), times (ns) and inode.

    A program can set the modification time back, but not the change time (ctime).
    """
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


class PrivateFolder:
    """A private folder, kept open. It is created if it does not exist.

    Raises OSError if it cannot be opened or created, and NotPrivate if others may write to it.
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
            raise NotPrivate(
                f"{self.path} is a link or a file; it must be a folder: remove it"
            ) from error
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
        """Opens a file of the folder for reading. Raises NotPrivate and other OSErrors."""
        return os.fdopen(self._opened(name, os.O_RDONLY), "rb")

    def write(self, name: str, fill: Callable[[BinaryIO], object]) -> None:
        """Creates or replaces a file atomically. `fill` writes its content.

        If anything fails, the old file stays as it was. Raises NotPrivate and other OSErrors.
        """
        part = f"{name}.part"
        with suppress(FileNotFoundError):  # left by a process that was killed
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
        """Only one process at a time runs the block. The lock is the file `name` of the folder."""
        with exclusive(self._opened(name, os.O_RDWR | os.O_CREAT, 0o600)):
            yield

    def _opened(self, name: str, flags: int, mode: int = 0) -> int:
        return opened_private(self.path / name, flags, mode, self._descriptor)

    def _place(self, name: str) -> str | Path:
        return self.path / name if self._descriptor is None else name
