"""How many threads numpy's matrix products take. The only file that knows OpenBLAS."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

# Names in the wheels of numpy 2, where every symbol of OpenBLAS has this prefix and suffix.
GET, SET = (f"scipy_openblas_{word}_num_threads64_" for word in ("get", "set"))

_lock = Lock()
_users, _before = 0, 0


@contextmanager
def one_thread() -> Iterator[bool]:
    """Products take the thread that calls them and no other; gives whether that could be had.

    For the whole process, until the last of all who want it leaves; then it is as it was before.
    """
    global _users, _before
    library = _openblas()
    if library is None:
        yield False
        return
    with _lock:
        if _users == 0:
            _before = library[GET]()
            library[SET](1)
        _users += 1
    try:
        yield True
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                library[SET](_before)


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
