"""Threads: many callers, forks, errors, Ctrl-C, the end; and no thread that outlives its use."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

import engine
from engine.errors import EngineError
from engine.fast.runtime.thread_team import Job, Team, _Call
from tests.fast import fast_process
from tests.support import checkpoints
from tests.support.texts import SENTENCES

Vectors = NDArray[np.float32]
PATIENCE = 120  # seconds after which something hangs; this machine may be busy


def load(threads: int = 3) -> engine.Embedder:
    return engine.load(checkpoints.tiny(), threads=threads)


@pytest.fixture(scope="module")
def embedder() -> Iterator[engine.Embedder]:
    with load() as one:
        one.encode(SENTENCES)  # its helpers are there
        yield one


@pytest.fixture(scope="module")
def expected(embedder: engine.Embedder) -> Vectors:
    return embedder.encode(SENTENCES)


class Scratch:
    """What a thread computes with."""


def nothing() -> None:
    pass


def nothing_with(scratch: Scratch) -> None:
    pass


def helpers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "bge-helper"}


def within(seconds: float, true: Callable[[], bool]) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


# callers


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_eight_callers_get_their_own_results(threads: int, expected: Vectors) -> None:
    with load(threads) as shared, ThreadPoolExecutor(8) as callers:
        futures = [callers.submit(shared.encode, SENTENCES[i % 70 :]) for i in range(80)]
        for i, future in enumerate(futures):
            assert np.array_equal(future.result(PATIENCE), expected[i % 70 :])


@pytest.mark.parametrize("size", [1, 2, 4])
def test_no_more_threads_compute_than_wanted(size: int) -> None:
    """Each with scratch memory of its own; one more where a caller that came first computes too."""
    used, most, lock = list[Scratch](), [0], threading.Lock()
    team = Team(size, Scratch)

    def run(scratch: Scratch) -> None:
        with lock:
            assert scratch not in used
            used.append(scratch)
            most[0] = max(most[0], len(used))
        time.sleep(0.001)
        used.remove(scratch)

    def call(_: int) -> None:
        team.run([Job(nothing, run, nothing, nothing) for _ in range(5)])

    for _ in range(10):
        call(0)
    assert most == [size]
    with ThreadPoolExecutor(6) as callers:
        list(callers.map(call, range(60)))
    team.close()
    assert size <= most[0] <= size + 1


def test_a_lone_caller_computes_itself_and_one_who_comes_later_does_not() -> None:
    team, who = Team(1, Scratch), list[threading.Thread]()
    begun, go_on = threading.Event(), threading.Event()

    def first(scratch: Scratch) -> None:
        who.append(threading.current_thread())
        begun.set()
        go_on.wait(PATIENCE)

    def second(scratch: Scratch) -> None:
        who.append(threading.current_thread())

    caller = threading.Thread(target=team.run, args=([Job(nothing, first, nothing, nothing)],))
    caller.start()
    begun.wait(PATIENCE)
    team.run([Job(nothing, second, nothing, nothing)])
    go_on.set()
    caller.join(PATIENCE)
    team.close()
    assert who[0] is caller
    assert who[1].name == "bge-helper"


def test_a_short_call_does_not_wait_for_the_end_of_a_long_one() -> None:
    """A helper takes one job of each call in turn."""
    team, order = Team(1, Scratch), list[str]()
    started, go_on = threading.Event(), threading.Event()

    def job(name: str) -> Job:
        def run(scratch: Scratch) -> None:
            order.append(name)
            started.set()
            go_on.wait(PATIENCE)

        return Job(nothing, run, nothing, nothing)

    calls = [["along"] * 2, ["long"] * 20, ["short"]]
    callers = [threading.Thread(target=team.run, args=([*map(job, names)],)) for names in calls]
    for caller in callers:
        started.clear()
        caller.start()
        if caller is not callers[-1]:  # which has to wait, for one helper has two calls
            started.wait(PATIENCE)
    assert within(PATIENCE, lambda: team._pool.get().invitations.qsize() == 1)
    go_on.set()
    for caller in callers:
        caller.join(PATIENCE)
    team.close()
    assert [name for name in order if name != "along"][:2] == ["long", "short"]


def test_help_goes_to_the_job_with_the_fewest_threads() -> None:
    jobs = [Job(nothing, nothing_with, nothing, nothing) for _ in range(4)]
    for job, inside in zip(jobs, ({1, 2}, {3}, {4, 5, 6}, set[int]()), strict=True):
        job.inside = inside
    jobs[3].over = True
    call = _Call([], 0)
    assert call.emptiest() is None
    call.running = set(jobs)
    assert call.emptiest() is jobs[1]


def test_results_are_taken_once_and_memory_is_released_when_the_last_has_left() -> None:
    """The caller does not wait for who is slow to leave; memory does."""
    team, lock = Team(2, Scratch), threading.Lock()
    inside, ended, released = [0], [0], [0]
    second, slow = threading.Event(), threading.Event()

    def run(scratch: Scratch) -> None:
        with lock:
            inside[0] += 1
            late = inside[0] == 2
        if late:
            second.set()
            slow.wait(PATIENCE)
        second.wait(PATIENCE)
        with lock:
            inside[0] -= 1

    def end() -> None:
        ended[0] += 1

    def release() -> None:
        assert inside == [0]
        released[0] += 1

    team.run([Job(nothing, run, end, release)])
    assert (ended, released, inside) == ([1], [0], [1])
    slow.set()
    team.close()
    assert (ended, released, inside) == ([1], [1], [0])


@pytest.mark.slow
def test_idle_helpers_use_no_cpu(embedder: engine.Embedder) -> None:
    embedder.encode(SENTENCES)
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(1)
    assert time.process_time() - before < 0.02


# forks


def test_a_fork_goes_on_with_its_parents_embedder(
    embedder: engine.Embedder, expected: Vectors
) -> None:
    """As under a preforking server: load, use, fork, and use on both sides."""
    for _ in range(3):
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(embedder.encode(SENTENCES), expected) else 9)
        assert np.array_equal(embedder.encode(SENTENCES), expected)
        assert os.waitpid(child, 0)[1] == 0


def test_a_fork_in_the_middle_of_work(embedder: engine.Embedder, expected: Vectors) -> None:
    """The child has none of the threads that compute at that moment, nor what they share."""
    with ThreadPoolExecutor(4) as callers:
        busy = [callers.submit(embedder.encode, SENTENCES * 20) for _ in range(4)]
        codes = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                signal.alarm(PATIENCE)
                os._exit(0 if np.array_equal(embedder.encode(SENTENCES[:9]), expected[:9]) else 9)
            codes.append(os.waitpid(child, 0)[1])
        for future in busy:
            assert np.array_equal(future.result(PATIENCE)[:70], expected[:70])
    assert codes == [0, 0, 0]


inherited: engine.Embedder


def encode_inherited(texts: list[str]) -> bytes:
    return inherited.encode(texts).tobytes()


def test_process_pool_with_an_inherited_embedder(
    embedder: engine.Embedder, expected: Vectors
) -> None:
    global inherited
    inherited = embedder
    parts = [SENTENCES[i : i + 10] for i in range(0, 70, 10)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        found = pool.map(encode_inherited, parts, timeout=PATIENCE)
        assert b"".join(found) == expected[:70].tobytes()


def test_a_closed_embedder_stays_closed_in_a_fork() -> None:
    with load() as one:
        one.encode("a")
    child = os.fork()
    if child == 0:
        try:
            one.encode("a")
        except EngineError:
            os._exit(0)
        os._exit(9)
    assert os.waitpid(child, 0)[1] == 0


# errors


def fail(*_: object) -> None:
    raise MemoryError("no room")


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("part", range(3))
def test_an_error_reaches_its_caller_only(size: int, part: int) -> None:
    """Whether work fails to begin, breaks off, or its result cannot be kept."""
    team, kept = Team(size, Scratch), list[int]()
    parts = [nothing, lambda scratch: time.sleep(0.001), nothing, nothing]
    parts[part] = fail

    def good(i: int) -> None:
        def run(scratch: Scratch) -> None:
            time.sleep(0.001)

        team.run([Job(nothing, run, lambda: kept.append(i), nothing) for _ in range(3)])

    def bad(_: int) -> None:
        with pytest.raises(MemoryError, match="no room"):
            team.run([Job(*parts) for _ in range(3)])  # type: ignore[arg-type]

    with ThreadPoolExecutor(6) as callers:
        futures = [callers.submit(f, i) for i in range(10) for f in (good, bad)]
        for future in futures:
            future.result(PATIENCE)
    team.close()
    assert sorted(kept) == sorted([*range(10)] * 3)


def test_an_encoder_goes_on_after_an_error(
    embedder: engine.Embedder, expected: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("engine.fast.runtime.fast_encoder.PackedBatch.of", fail)
        with pytest.raises(MemoryError, match="no room"):
            embedder.encode(SENTENCES)
    assert np.array_equal(embedder.encode(SENTENCES), expected)


INTERRUPTED = """
import engine, sys, time
from tests.support import checkpoints
from tests.support.texts import SENTENCES
one = engine.load(checkpoints.minilm(), threads=2)
before = one.encode(SENTENCES[:3])
many = one.tokenize([" ".join(SENTENCES)]) * 20_000
print("ready", flush=True)
try:
    one.encode_tokens(many)
except KeyboardInterrupt:
    print("interrupted", (one.encode(SENTENCES[:3]) == before).all(), flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_long_encode() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        text=True,
        env=fast_process.environment(),
    )
    assert process.stdout
    with process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert process.communicate(timeout=PATIENCE)[0] == "interrupted True\n"
        assert time.monotonic() - began < 20  # a moment, on a machine with nothing else to do


# the end


def test_a_closed_embedder_says_so() -> None:
    one = load()
    one.encode("a")
    one.close()
    with pytest.raises(EngineError, match="closed"):
        one.encode("a")
    one.close()


def test_close_ends_the_helpers() -> None:
    before = helpers()
    with load(4) as one:
        one.encode(SENTENCES)
        assert len(helpers() - before) == 3
    assert helpers() == before


def test_close_while_others_compute(expected: Vectors) -> None:
    """A call that has begun gets its result, a later one an error; no caller waits forever."""
    for threads in (1, 2, 3):
        one = load(threads)
        with ThreadPoolExecutor(4) as callers:
            futures = [callers.submit(one.encode, SENTENCES) for _ in range(40)]
            futures[0].result(PATIENCE)
            one.close()
            for future in futures:
                error = future.exception(PATIENCE)
                assert isinstance(error, EngineError) if error else True
                assert error or np.array_equal(future.result(), expected)


@pytest.mark.slow
def test_a_dropped_embedder_takes_its_threads_along() -> None:
    gc.collect()
    before = helpers()
    one = load(4)
    for _ in range(20):
        one.encode(SENTENCES)
    assert len(helpers() - before) == 3
    del one
    gc.collect()
    assert within(PATIENCE, lambda: helpers() <= before)
