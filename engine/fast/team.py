"""Threads of our own over compiled code that runs without the interpreter's lock.

A `Team` has a fixed number of seats; only who has a seat computes, so the machine is never
overbooked however many callers come. Callers sit down themselves where a seat is free, which
saves a single short text the way to another thread; helpers take the other seats. Whoever has a
seat first takes a job that nobody has, and when there is none, helps with one that is under way.
All others sleep, each on a condition of its own, so that only the one who can go on is woken.
"""

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from engine.errors import EngineError


def closed() -> EngineError:
    return EngineError("this embedder is closed; load it again to go on.")


class Job:
    """Work that any number of threads may do together, by calling `run(seat)` after one `begin()`.

    Each call of `run` returns when the whole work is done, whoever did it. The first to come back
    calls `end()`, and the caller has its results; the last to leave calls `release()`.
    """

    def __init__(
        self,
        begin: Callable[[], None],
        run: Callable[[int], None],
        end: Callable[[], None],
        release: Callable[[], None],
    ) -> None:
        self.begin, self.run, self.end, self.release = begin, run, end, release
        self.inside = 0  # threads that take part
        self.call: _Call  # set by `Team.run`


class _Call:
    """The jobs of one caller, and where it sleeps."""

    def __init__(self, lock: threading.RLock, jobs: Sequence[Job]) -> None:
        self.condition = threading.Condition(lock)
        self.left = len(jobs)
        self.error: BaseException | None = None
        for job in jobs:
            job.call = self

    def over(self) -> bool:
        return self.left == 0 or self.error is not None


class Team:
    """`size` seats, numbered from 0; each stands for memory that one thread at a time may use."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._closed = False
        self._reset()
        _teams.add(self)

    def _reset(self) -> None:
        self._lock = threading.RLock()  # `dismiss` may come from within: the end of an object
        self._seats = list(range(self.size))
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._sleepers: deque[threading.Condition] = deque()
        self._helpers: list[threading.Thread] = []

    def run(self, jobs: Sequence[Job]) -> None:
        """Returns when all jobs are done; raises what a job raised."""
        with self._lock:
            if self._closed:
                raise closed()
            self._hire()
            call = _Call(self._lock, jobs)
            self._waiting.extend(jobs)
            try:
                self._work(call.over, call.condition)
            finally:
                self._withdraw(jobs, call)
                self._wake_one()
        if call.error:
            raise call.error

    def close(self) -> None:
        """Helpers end; what runs is finished first."""
        self.dismiss()
        for helper in self._helpers:
            helper.join()

    def dismiss(self) -> None:
        """The same without waiting for it."""
        with self._lock:
            self._closed = True
            for sleeper in self._sleepers:
                sleeper.notify()

    # What follows is called with the lock held.

    def _work(self, enough: Callable[[], bool], condition: threading.Condition) -> None:
        """Takes part in jobs until `enough`."""
        while not enough():
            if self._take_next():
                continue
            self._sleepers.append(condition)
            try:
                condition.wait()
            finally:
                if condition in self._sleepers:
                    self._sleepers.remove(condition)

    def _take_next(self) -> bool:
        """Takes part in one job, if there is one; who sleeps later holds on to none."""
        job = self._next() if self._seats else None
        if job is not None:
            self._take_part(job)
        return job is not None

    def _next(self) -> Job | None:
        if self._waiting:
            return self._waiting.popleft()
        return min(self._running, key=lambda job: job.inside, default=None)

    def _take_part(self, job: Job) -> None:
        seat = self._seats.pop()
        first = job.inside == 0
        job.inside += 1
        self._wake_one()
        try:
            with self._unlocked():
                if first:
                    job.begin()
                    with self._lock:
                        self._running.append(job)
                        self._wake_one()
                job.run(seat)
        except BaseException as error:
            job.call.error = error
        self._leave(job, seat)

    def _leave(self, job: Job, seat: int) -> None:
        self._seats.append(seat)
        job.inside -= 1
        if job in self._running:
            self._running.remove(job)
            self._end(job)
        if job.inside == 0:
            job.release()
        if job.call.over():
            job.call.condition.notify()

    def _end(self, job: Job) -> None:
        job.call.left -= 1
        try:
            if not job.call.error:
                job.end()
        except BaseException as error:
            job.call.error = error

    @contextlib.contextmanager
    def _unlocked(self) -> Iterator[None]:
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()

    def _wake_one(self) -> None:
        if self._sleepers and self._seats and (self._waiting or self._running):
            self._sleepers.popleft().notify()

    def _withdraw(self, jobs: Sequence[Job], call: _Call) -> None:
        """After an error or Ctrl-C: nobody starts these any more, and nobody is left inside."""
        if call.left == 0 and not call.error:
            return
        for job in jobs:
            if job in self._waiting:
                self._waiting.remove(job)
        while any(job.inside for job in jobs):
            call.condition.wait(0.1)

    def _hire(self) -> None:
        while len(self._helpers) < self.size - 1:
            helper = threading.Thread(target=self._help, name="bge-helper", daemon=True)
            self._helpers.append(helper)
            helper.start()

    def _help(self) -> None:
        with self._lock:
            self._work(lambda: self._closed, threading.Condition(self._lock))
            self._wake_one()  # it may have been woken for work that it leaves to others


_teams: "weakref.WeakSet[Team]" = weakref.WeakSet()


def _after_fork() -> None:
    """A child has none of its parent's threads, and their lock may have been held: begin anew."""
    for team in _teams:
        team._reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
