"""Stages that run at the same time, each in a thread of its own, with a bounded queue between."""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")
POLL_SECONDS = 0.2


class Stopped(BaseException):
    """Unwinds a stage when nobody wants its items any more."""


class Stages:
    """The threads of one pipeline. Leaving the context ends them all, whatever they wait for."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._awaited: list[threading.Thread] = []

    def __enter__(self) -> "Stages":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._awaited:
            thread.join()

    def check(self) -> None:
        """Raise Stopped when the pipeline is being left; long stages call it now and then."""
        if self._stop.is_set():
            raise Stopped

    def ahead(self, items: Iterable[Item], *, awaited: bool = True) -> Iterator[Item]:
        """Iterate over `items` in another thread, which keeps one item ready.

        What `items` raises is raised here. Not `awaited`: nobody waits for the thread at the end,
        because it may itself wait without end, as for standard input.
        """
        ready: queue.Queue[tuple[str, object]] = queue.Queue(1)
        thread = threading.Thread(target=self._feed, args=(items, ready), daemon=True)
        if awaited:
            self._awaited.append(thread)
        thread.start()
        return self._drain(ready)  # type: ignore[return-value]

    def _feed(self, items: Iterable[Item], ready: "queue.Queue[tuple[str, object]]") -> None:
        try:
            for item in items:
                self._put(ready, ("item", item))
                del item  # a stage that waits must not hold on to what it has passed on
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
