"""How many threads numpy's matrix products take, and forks. The only file that knows OpenBLAS.

OpenBLAS does not survive a fork during a product. Its fork handler ends its threads and waits for
them; one that computes at that moment misses the order to end, so the parent waits forever, with
the interpreter's lock. Where products take one thread, the child may inherit a lock that nobody
releases. So a fork waits until no product of ours is under way, and none begins until it is over.

Nothing here may be interrupted by a signal handler but the forking thread, and by the rule of
`engine.fast.runtime.thread_team` that one holds nothing: `_forks` changes by single C calls.
"""

import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from threading import Lock, get_ident

import numpy as np

from engine.system.threads import PerProcess

# Names in the wheels of numpy 2, where every symbol of OpenBLAS has this prefix and suffix.
GET, SET = (f"scipy_openblas_{word}_num_threads64_" for word in ("get", "set"))
PAUSE_S = 0.001

_forks: list[None] = []  # one for each fork under way


class _Limits:
    """The limits of all `at_most` that are active in this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.active: list[tuple[int, int]] = []  # (thread, limit)
        self._before = 0

    def add(self, limit: int) -> None:
        with self._lock:
            if not self.active:
                self._before = products_threads()
            self.active.append((get_ident(), limit))
            self._apply()

    def remove(self, limit: int) -> None:
        with self._lock:
            self.active.remove((get_ident(), limit))
            self._apply()

    def _apply(self) -> None:
        if library := openblas():
            library[SET](min([self._before, *(limit for _, limit in self.active)]))


_limits = PerProcess(_Limits)


@contextmanager
def at_most(threads: int) -> Iterator[None]:
    """Within it products take at most so many threads each, where numpy brought OpenBLAS.

    For the whole process: the smallest limit counts, and the last to leave restores what was
    before. Forks wait, so keep it short. For threads that can't be interrupted.
    """
    limits = _limits.get()
    limits.add(threads)
    while _forks:  # looked at after `add`, as the fork looks at `active` after it is in `_forks`
        limits.remove(threads)
        time.sleep(PAUSE_S)
        limits.add(threads)
    try:
        yield
    finally:
        limits.remove(threads)


@cache
def openblas() -> ctypes.CDLL | None:
    """The library that numpy brought along and has loaded, if that is its kind."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for path in folder.glob("libscipy_openblas64_*"):
            library = ctypes.CDLL(str(path))
            if hasattr(library, GET) and hasattr(library, SET):
                return library
    return None


def products_threads() -> int:
    """How many threads a product may take now; 0 where numpy brought no OpenBLAS."""
    library = openblas()
    return int(library[GET]()) if library else 0


def _wait_for_products() -> None:
    """Before a fork. Python reports what a handler raises here, and forks nevertheless."""
    interrupt: BaseException | None = None
    while any(thread != get_ident() for thread, _ in tuple(_limits.get().active)):
        try:
            time.sleep(PAUSE_S)
        except BaseException as error:
            interrupt = error
    if interrupt:
        raise interrupt


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_wait_for_products, after_in_parent=_forks.pop, after_in_child=_forks.clear
    )
    os.register_at_fork(before=partial(_forks.append, None))  # the last one is the first to run
