"""What signal handlers and forks can't break: work in a thread of its own, state of one process.

Python runs signal handlers in the main thread, between any two bytecodes. A handler that raises
(Ctrl-C, the time limit of a task queue) may so end a function at any point, also behind an acquired
lock and before the `try` that would release it. What must not be cut off runs in another thread.
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

Answers = SimpleQueue[BaseException | None]  # of work that ended: None, or its error


def undisturbed(work: Callable[[], None], *, copies: int = 1, name: str = "bge-work") -> None:
    """Runs `work` in `copies` new threads; returns when all have returned, raises what one raised.

    An interrupt ends only the wait. The threads go on, and the interpreter's end waits for them.
    """
    answers: Answers = SimpleQueue()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            answers.put(error)
        else:
            answers.put(None)

    def start() -> None:
        """`Thread.start` takes locks, so it can't be called where it may be interrupted."""
        for _ in range(copies):
            try:
                threading.Thread(target=run, name=name).start()
            except BaseException as error:  # no more threads, no memory
                answers.put(error)

    start_new_thread(start, ())
    collect(answers, copies)


def collect(answers: Answers, count: int) -> None:
    """Waits for so many answers; raises the first error among them."""
    for _ in range(count):
        error = answers.get()
        try:
            if error:
                raise error
        finally:
            del error  # it refers to this frame


_made: dict[int, Any] = {}
_numbers = itertools.count()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_made.clear)  # no Python code: nothing to interrupt


class PerProcess(Generic[T]):
    """A value that is made at its first use, and anew in a forked child.

    A child has none of its parent's threads, and what they shared may have been half changed.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._number = make, next(_numbers)
        weakref.finalize(self, _made.pop, self._number, None).atexit = False

    def get(self) -> T:
        """The same object for all threads of the process."""
        found: T | None = _made.get(self._number)
        if found is None:
            found = _made.setdefault(self._number, self._make())
        return found
