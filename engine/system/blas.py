"""Limits the threads of numpy's matrix products, and keeps forks away from running products.

This is the only module that calls OpenBLAS.

A fork during a product breaks OpenBLAS. Its fork handler stops its threads and waits for them. A
thread that is computing at that moment misses the stop request, so the parent waits forever and
holds the interpreter's lock. With one thread per product, the child may inherit a lock that nobody
releases. So a fork waits until no product of ours is running, and no product starts during a fork.

A signal handler can interrupt only one thread here, the one that forks. By the rule of
`engine.fast.runtime.thread_team` that thread holds no lock. `_forks` changes by single C calls.
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

_forks: list[None] = []  # one item for each fork in progress


class _Limits:
    """The limits of all active `at_most` blocks in this process."""

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
    """Within the block each matrix product uses at most `threads` threads.

    This needs a numpy that bundles OpenBLAS; otherwise nothing is limited. The limit holds for the
    whole process. If several blocks are active, the smallest limit is used. The last block to end
    restores the earlier setting. Forks wait for the end of the block, so keep it short. Use it only
    in threads that signal handlers cannot interrupt.
    """
    limits = _limits.get()
    limits.add(threads)
    # Checked after `add`; a fork checks `active` after it is in `_forks`. So one sees the other.
    while _forks:
        limits.remove(threads)
        time.sleep(PAUSE_S)
        limits.add(threads)
    try:
        yield
    finally:
        limits.remove(threads)


@cache
def openblas() -> ctypes.CDLL | None:
    """The OpenBLAS that numpy bundles and has loaded; None if numpy uses another library."""
    package = Path(np.__file__).parent
    for folder in (package.with_name("numpy.libs"), package / ".dylibs"):
        for path in folder.glob("libscipy_openblas64_*"):
            library = ctypes.CDLL(str(path))
            if hasattr(library, GET) and hasattr(library, SET):
                return library
    return None


def products_threads() -> int:
    """How many threads a matrix product uses now; 0 if numpy bundles no OpenBLAS."""
    library = openblas()
    return int(library[GET]()) if library else 0


def _wait_for_products() -> None:
    """Runs before a fork. Python reports an exception that is raised here, and forks anyway."""
    interrupt: BaseException | None = None
    waits = True
    while waits:
        try:
            waits = any(thread != get_ident() for thread, _ in tuple(_limits.get().active))
            time.sleep(PAUSE_S if waits else 0)
        except BaseException as error:
            interrupt = error
    if interrupt:
        raise interrupt


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_wait_for_products, after_in_parent=_forks.pop, after_in_child=_forks.clear
    )
    # "before" functions run in reverse order of registration, so this one runs first.
    os.register_at_fork(before=partial(_forks.append, None))
