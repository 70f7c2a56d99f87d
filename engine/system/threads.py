"""Work that signal handlers cannot interrupt, and values that a forked child does not inherit.

Python runs signal handlers in the main thread, between any two bytecodes. A handler that raises
(Ctrl-C, the time limit of a task queue) can end a function at any point, even after a lock was
acquired and before the `try` that would release it. So work that must not stop halfway runs in
another thread.
"""

import itertools
import os
import threading
import weakref
from _thread import start_new_thread
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")

Outcomes = SimpleQueue[BaseException | None]  # one item per finished thread: None, or its error


def undisturbed(work: Callable[[], None], *, copies: int = 1, name: str = "bge-work") -> None:
    """Runs `work` in `copies` new threads and waits for all of them.

    Raises the first error of a thread. If the wait is interrupted, the threads continue, and the
    interpreter waits for them before it exits.
    """
    outcomes: Outcomes = SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            outcomes.put(error)
        else:
            outcomes.put(None)

    def start() -> None:
        """Runs in a thread, because `Thread.start` takes locks and must not be interrupted."""
        for _ in range(copies):
            try:
                threading.Thread(target=run, name=name).start()
            except BaseException as error:  # the thread limit is reached, or memory is exhausted
                outcomes.put(error)

    start_new_thread(start, ())
    collect(outcomes, copies)


def collect(outcomes: Outcomes, count: int) -> None:
    """Waits until `count` threads have finished. Raises the first error among their results."""
    for _ in range(count):
        error = outcomes.get()
        try:
            if error:
                raise error
        finally:
            del error  # it refers to this frame: a reference cycle


_made: dict[int, Any] = {}  # the values of all PerProcess objects, by their numbers
_numbers = itertools.count()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_made.clear)  # a C function, so it cannot be interrupted


class PerProcess(Generic[T]):
    """A value that `make` creates at its first use. A forked child creates its own.

    A child has none of its parent's threads, and data that they share may be half changed.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._number = make, next(_numbers)
        weakref.finalize(self, _made.pop, self._number, None).atexit = False

    def get(self) -> T:
        """The value; all threads of a process get the same object."""
        found: T | None = _made.get(self._number)
        if found is None:
            found = _made.setdefault(self._number, self._make())
        return found
