"""How many threads numpy's matrix products take. The only file that knows OpenBLAS."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

# Names in the wheels of numpy 2, where every symbol of OpenBLAS has this prefix and suffix.
GET, SET = (f"scipy_openblas_{word}_num_threads64_" for word in ("get", "set"))

_lock = Lock()
_wishes: list[int] = []  # of all who are inside now
_before = 0


@contextmanager
def at_most(threads: int) -> Iterator[bool]:
    """Products take at most so many threads each; gives whether that could be had.

    For the whole process, and the smallest wish counts. When the last of all who had one leaves,
    it is as it was before.
    """
    global _before
    library = _openblas()
    if library is None:
        yield False
        return
    with _lock:
        if not _wishes:
            _before = library[GET]()
        _wishes.append(threads)
        library[SET](min([_before, *_wishes]))
    try:
        yield True
    finally:
        with _lock:
            _wishes.remove(threads)
            library[SET](min([_before, *_wishes]))


@cache
def _openblas() -> ctypes.CDLL | None:
    """The library that numpy brought along and has loaded, if that is its kind."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for path in folder.glob("libscipy_openblas64_*"):
            library = ctypes.CDLL(str(path))
            if hasattr(library, GET) and hasattr(library, SET):
                return library
    return None


def _after_fork() -> None:
    """A child has none of the threads that had wishes, and the lock may have been held."""
    global _lock
    _lock = Lock()
    if _wishes and (library := _openblas()):
        _wishes.clear()
        library[SET](_before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
