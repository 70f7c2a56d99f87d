"""Files that are made once and kept: by one process, for all that come later.

A file appears under its name only when it is whole and on the disk; one process makes it while
others wait. It is used only if nobody but this user or root can have written it. Its checksum is
compared before its first use; then a stamp beside it notes size, times and inode, and as long as
they stay the same, the file is trusted without reading it again.

Where nothing can be kept, or not safely, there is one warning, and each process makes its own, in a
file without a name.
"""

import contextlib
import glob
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeVar
from weakref import WeakValueDictionary

from engine.errors import EngineError
from engine.fast.weights.array_files import Damaged
from engine.system import folders
from engine.system.files import PrivateFolder, identity

MONTH = 30 * 24 * 3600.0
STAMP = ".checked"

Made = TypeVar("Made", contravariant=True)
Content = TypeVar("Content", covariant=True)


class Kind(Protocol[Made, Content]):
    """A kind of file: `array_files` or `code_files`. `read` and `check` raise Damaged."""

    def write(self, file: BinaryIO, made: Made, /) -> None: ...
    def check(self, file: BinaryIO, /) -> None: ...
    def read(self, file: BinaryIO, /) -> Content: ...


_warned: set[Path] = set()
_unkept: WeakValueDictionary[str, Any] = WeakValueDictionary()


def kept(
    folder: Path | None,
    name: str,
    kind: Kind[Made, Content],
    make: Callable[[], Made],
    what: str,
) -> Content:
    """What is in a file; what `make` gives, where it is missing or damaged.

    folder: None where this user has none. what: the work, for messages.
    """
    if folder is None:
        folders.warn_that_nothing_is_kept()
    else:
        try:
            return _kept(folder / name, kind, make, what)
        except OSError as error:
            _warn(folder, str(error))
        except Damaged as error:  # as soon as it was written
            _warn(folder, f"{folder / name}: {error}")
    # Without a cache, embedders of one process at least share what was made.
    made = _unkept.get(name)
    if made is None:
        made = _unkept[name] = _made_for_this_process(kind, make, what)
    return made


def _made_for_this_process(
    kind: Kind[Made, Content], make: Callable[[], Made], what: str
) -> Content:
    try:
        with _announced(what), _anonymous() as file:
            kind.write(file, make())
            return kind.read(file)
    except OSError as error:
        raise EngineError(
            f"{what} failed: {error}. Set BGE_CACHE, or TMPDIR, to a folder with room."
        ) from error


def _kept(path: Path, kind: Kind[Made, Content], make: Callable[[], Made], what: str) -> Content:
    with PrivateFolder(path.parent) as folder:
        # The common case needs no lock: a file under its final name is whole.
        with contextlib.suppress(FileNotFoundError, Damaged):
            return _read(folder, path.name, kind)
        with folder.locked(path.with_suffix(".lock").name):
            with contextlib.suppress(FileNotFoundError, Damaged):  # another process made it
                return _read(folder, path.name, kind)
            # Written under another name, synced, and renamed: readers see all of it or nothing.
            with _announced(what):
                folder.write(path.name, lambda file: kind.write(file, make()))
                _remove_stale(path)
            return _read(folder, path.name, kind)


def _read(folder: PrivateFolder, name: str, kind: Kind[Any, Content]) -> Content:
    """Of one descriptor from beginning to end, so that what is checked is what is mapped."""
    with folder.read(name) as file:
        before = _identity(file)
        # A checksum reads the whole file, so it is computed once for each identity of the file.
        if _stamp(folder, name) != before:
            kind.check(file)
            if _identity(file) == before:  # not written to meanwhile
                with contextlib.suppress(OSError):  # a folder that is only read is checked again
                    os.fsync(file.fileno())  # a power cut must not spare the stamp alone
                    folder.write(name + STAMP, lambda stamp: stamp.write(before))
        return kind.read(file)


def _stamp(folder: PrivateFolder, name: str) -> bytes | None:
    """The identity of the file when it was last checked."""
    with contextlib.suppress(OSError), folder.read(name + STAMP) as file:
        return file.read(1000)
    return None


def _identity(file: BinaryIO) -> bytes:
    return " ".join(map(str, identity(os.fstat(file.fileno())))).encode()


def _anonymous() -> BinaryIO:
    """A file without a name, which goes with its last user."""
    import tempfile

    try:
        return tempfile.TemporaryFile(prefix="bge-")
    except OSError:  # no folder of temporary files can be written either
        if not hasattr(os, "memfd_create"):
            raise
        return os.fdopen(os.memfd_create("bge-engine"), "w+b")


def _warn(folder: Path, error: str) -> None:
    """Once for a folder, though it concerns weights and machine code alike."""
    if folder not in _warned:
        _warned.add(folder)
        warnings.warn(
            f"nothing is kept in {folder} ({error}), so every process compiles kernels and "
            "prepares weights again. Set BGE_CACHE to a folder that this user, and nobody else, "
            "can write to.",
            stacklevel=2,
        )


@contextlib.contextmanager
def _announced(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"bge-engine: {what}, once ...", file=sys.stderr, flush=True)
    yield
    print(f"bge-engine: done in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def _remove_stale(path: Path) -> None:
    """Files made for the same by other versions: hundreds of megabytes each. A process that has one
    mapped keeps it; another version in use makes it again."""
    stem = path.name.rpartition("-")[0]
    for other in path.parent.glob(f"{glob.escape(stem)}-{'?' * 32}{path.suffix}"):
        with contextlib.suppress(OSError):
            found = other.stat()
            if max(found.st_atime, found.st_mtime) < time.time() - MONTH:
                other.unlink()
                other.with_name(other.name + STAMP).unlink(missing_ok=True)
