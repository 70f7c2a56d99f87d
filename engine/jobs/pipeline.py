"""Stages that run at the same time, each in a thread of its own, with a bounded queue between."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.2

_pipeline: ContextVar["Stages | None"] = ContextVar("pipeline", default=None)


class Stopped(BaseException):
    """Raised inside a stage when the pipeline shuts down."""


def check() -> None:
    """Raise Stopped if the calling thread is a stage of a pipeline that is shutting down."""
    stages = _pipeline.get()
    if stages is not None:
        stages.check()


class Stages:
    """The threads of one pipeline. Leaving the context stops and joins them all.

    A thread still inside C++ code would abort the process when the interpreter exits. Code that
    may block forever, such as a read of standard input, calls `check` while it waits.
    """

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        """Raise Stopped if the pipeline is shutting down; long stages call it regularly."""
        if self._stop.is_set():
            raise Stopped

    def ahead(self, items: Iterable[Item]) -> Iterator[Item]:
        """Iterate over `items` in another thread, which keeps one item ready.

        What `items` raises is raised here.
        """
        ready: queue.Queue[tuple[str, object]] = queue.Queue(1)
        thread = threading.Thread(target=self._feed, args=(items, ready), daemon=True)
        self._threads.append(thread)
        thread.start()
        return self._drain(ready)  # type: ignore[return-value]

    def _feed(self, items: Iterable[Item], ready: "queue.Queue[tuple[str, object]]") -> None:
        _pipeline.set(self)
        try:
            for item in items:
                self._put(ready, ("item", item))
                del item  # release it: the next stage owns it now
            self._put(ready, ("end", None))
        except Stopped:
            pass
        except BaseException as error:
            with suppress(Stopped):
                self._put(ready, ("error", error))

    def _put(self, ready: "queue.Queue[tuple[str, object]]", entry: tuple[str, object]) -> None:
        while True:
            self.check()
            try:
                return ready.put(entry, timeout=POLL_SECONDS)
            except queue.Full:
                continue

    def _drain(self, ready: "queue.Queue[tuple[str, object]]") -> Iterator[object]:
        while True:
            self.check()
            try:
                kind, value = ready.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value
            del value
