"""Exceptions from signal handlers, at random moments or at every bytecode; a hang is ended.

    python -m tests.integration.interrupts random --threads 2 --callers 2 --count 10000

prints what it did if nothing failed. `--precision reference` tests the numpy encoder instead.
"""

import argparse
import faulthandler
import itertools
import random
import resource
import signal
import sys
import threading
import time
from _thread import _count as count_threads
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any

import numpy as np

import engine
from engine.errors import EngineError
from engine.fast.runtime.thread_team import Job, Team
from engine.system import blas
from tests.support import checkpoints
from tests.support.texts import SENTENCES

PATIENCE_S = 60  # a call takes some milliseconds
LONG = 12  # texts at the token limit: two batches
SPARE_MIB = 40  # that the allocator may keep
WORKS = (
    "fast/runtime/thread_team.py",
    "fast/runtime/fast_encoder.py",
    "threads.py",
    "reference.py",
)


class Interrupt(BaseException):
    """Not an Exception: numpy's equality tests swallow those."""


def interrupt(*_: object) -> None:
    raise Interrupt


def watch() -> None:
    """In PATIENCE_S from now, the process ends with a traceback of every thread."""
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True)


@contextmanager
def callers(count: int, work: Callable[[int], None]) -> Iterator[None]:
    """Other threads that repeat `work(number)`; an error in one is raised here."""
    stop, errors = threading.Event(), list[BaseException]()

    def repeat(number: int) -> None:
        try:
            while not stop.is_set():
                work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


class Trial:
    """An embedder that is interrupted, and the vectors that it must still compute afterwards."""

    def __init__(self, precision: str, threads: int) -> None:
        self.one = engine.load(checkpoints.tiny(), precision=precision, threads=threads)
        self.tokens = self.one.tokenize(SENTENCES[:50] + [" ".join(SENTENCES)] * LONG)
        self.all = len(self.tokens)
        self.exact = precision != "reference"  # whose last bits depend on the batch
        self.expected = self.one.encode_tokens(self.tokens)
        self.threads = count_threads()

    def check(self, start: int, stop: int) -> None:
        found, expected = self.one.encode_tokens(self.tokens[start:stop]), self.expected[start:stop]
        if self.exact:
            assert np.array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)

    def check_part(self, number: int) -> None:
        self.check(5 * number, 5 * number + 5)

    def interrupt_at_random(self, count: int, longest_s: float) -> None:
        """`count` interrupts during encoding, each within `longest_s` after the last."""
        signal.signal(signal.SIGALRM, interrupt)
        interrupted = 0
        while interrupted < count:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, longest_s))
                while True:
                    self.check(0, random.choice((3, self.all)))
            except Interrupt:
                interrupted += 1
                watch()

    def interrupt_everywhere(self, start: int, stop: int) -> int:
        """One interrupt before each bytecode that a call executes here; returns how many."""
        for moment in itertools.count():
            watch()
            try:
                with tracing(moment):
                    self.one.encode_tokens(self.tokens[start:stop])
            except Interrupt:
                self.check(start, stop)
            else:
                return moment
        raise AssertionError

    def finish(self) -> None:
        """The right bits, and every thread but the helpers is gone."""
        watch()
        for _ in range(3):
            self.check(0, self.all)
        while count_threads() > self.threads + self.one.threads:
            time.sleep(0.01)  # the last interrupted call may still be unwinding
        self.one.close()


@contextmanager
def tracing(moment: int) -> Iterator[None]:
    """Raises Interrupt before bytecode number `moment` of the files in WORKS, in this thread."""
    left = itertools.count(moment, -1)

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith(WORKS):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode" and next(left) == 0:
            raise Interrupt
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def at_random(precision: str, threads: int, others: int, count: int) -> None:
    trial = Trial(precision, threads)
    began = time.perf_counter()
    trial.check(0, trial.all)
    longest = max(0.004, 2 * (time.perf_counter() - began))
    before = blas.products_threads()
    with callers(others, trial.check_part):
        trial.interrupt_at_random(count // 10, longest)
        peak = peak_mib()
        trial.interrupt_at_random(count - count // 10, longest)
        assert peak_mib() < peak + SPARE_MIB, f"from {peak} to {peak_mib()} MiB"
        assert count_threads() <= trial.threads + others + 3 * threads
    trial.finish()
    assert blas.products_threads() == before
    print(f"{precision}, {threads} threads, {others} callers: {count} interrupts")


def everywhere(precision: str, threads: int, others: int) -> None:
    trial = Trial(precision, threads)
    before = blas.products_threads()
    with callers(others, trial.check_part):
        moments = trial.interrupt_everywhere(0, 3) + trial.interrupt_everywhere(50, trial.all)
    trial.finish()
    assert blas.products_threads() == before
    assert moments > 200
    print(f"{precision}, {threads} threads, {others} callers: {moments} bytecodes")


def first(threads: int) -> None:
    """As `everywhere`, in a new thread pool's first call, which starts threads, and its close."""
    before = count_threads()
    for moment in itertools.count():
        watch()
        team, done = Team(threads, list), list[int]()
        jobs = [Job(nothing, nothing_with, partial(done.append, i), nothing) for i in range(5)]
        try:
            with tracing(moment):
                team.run(jobs)
                team.close()
            break
        except Interrupt:
            again = list[int]()
            with suppress(EngineError):  # closed
                team.run([Job(nothing, nothing_with, partial(again.append, 0), nothing)])
                assert again == [0]
            team.close()
        while count_threads() > before:
            time.sleep(0.001)
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert moment > 100
    print(f"a new pool of {threads} threads: {moment} bytecodes")


def nothing() -> None:
    pass


def nothing_with(scratch: Any) -> None:
    time.sleep(0.0001)


def nested(precision: str, threads: int, others: int, count: int) -> None:
    """A handler that calls encode while it interrupts a call of encode."""
    trial = Trial(precision, threads)
    interrupted = 0

    def handler(*_: object) -> None:
        nonlocal interrupted
        interrupted += 1
        trial.check_part(interrupted % 9)
        if interrupted % 3 == 0:
            raise Interrupt

    signal.signal(signal.SIGALRM, handler)
    with callers(others, trial.check_part):
        while interrupted < count:
            try:
                watch()
                now = interrupted
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 0.004))
                while interrupted == now:
                    trial.check(0, trial.all)
            except Interrupt:
                pass
    trial.finish()
    print(f"{precision}, {threads} threads, {others} callers: {interrupted} nested calls")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("random", "everywhere", "first", "nested"))
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--callers", type=int, default=0)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    watch()
    common = options.precision, options.threads, options.callers
    if options.kind == "everywhere":
        everywhere(*common)
    elif options.kind == "first":
        first(options.threads)
    else:
        (at_random if options.kind == "random" else nested)(*common, options.count)
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
