"""numpy's products on one thread each, so that the readable path can have many batches at once."""

import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import engine
import engine.reference
from engine.system import blas
from tests.support import checkpoints
from tests.support.texts import SENTENCES


def products_threads() -> int:
    assert blas.openblas(), "numpy's wheel brings OpenBLAS; has it other names now?"
    return blas.products_threads()


def test_the_smallest_limit_counts_until_the_last_has_left() -> None:
    before = products_threads()
    assert before >= 2, "these tests need two cores"
    with blas.at_most(10 * before):
        assert products_threads() == before
        first = blas.at_most(1)
        first.__enter__()
        assert products_threads() == 1
        with blas.at_most(2):
            assert products_threads() == 1
    assert products_threads() == 1  # `first` is still there
    with pytest.raises(MemoryError), blas.at_most(2):
        raise MemoryError
    first.__exit__(None, None, None)
    assert products_threads() == before


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = products_threads()
    for place in ("system.blas", "reference"):
        monkeypatch.setattr(f"engine.{place}.openblas", lambda: None)
    with blas.at_most(1):
        assert blas.products_threads() == 0
    assert vectors(3).shape == (70, 40)
    monkeypatch.undo()
    assert products_threads() == before


class Interrupt(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("interrupts", [0, 3])
def test_a_fork_waits_for_products(interrupts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever strikes it meanwhile; Python reports that, for it cannot leave a fork."""
    before, begun, ended = products_threads(), threading.Event(), list[float]()
    reports, left = list[Any](), [None] * interrupts
    monkeypatch.setattr(sys, "unraisablehook", reports.append)

    def interrupt(*_: object) -> None:
        left.pop()
        if not left:  # the last, 0.3 s from the start: the fork waits until 0.5
            signal.setitimer(signal.ITIMER_REAL, 0)
        raise Interrupt

    def compute() -> None:
        with blas.at_most(1):
            begun.set()
            time.sleep(0.5)
            ended.append(time.monotonic())

    thread = threading.Thread(target=compute)
    handler = signal.signal(signal.SIGALRM, interrupt)
    thread.start()
    begun.wait(60)
    signal.setitimer(signal.ITIMER_REAL, 0.1 if interrupts else 0, 0.1)
    child = os.fork()
    if child == 0:
        with blas.at_most(1):
            os._exit(0 if products_threads() == 1 else 9)
    signal.signal(signal.SIGALRM, handler)
    assert ended, "the fork did not wait"
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert not blas._forks and products_threads() == before
    assert not left
    ours = [one for one in reports if one.object is blas._wait_for_products]
    assert [type(one.exc_value) for one in ours] == ([Interrupt] if interrupts else [])


def test_products_wait_for_a_fork() -> None:
    begun = threading.Event()

    def compute() -> None:
        with blas.at_most(1):
            begun.set()

    thread = threading.Thread(target=compute)
    blas._forks.append(None)
    try:
        thread.start()
        assert not begun.wait(0.2)
        limits = blas._limits.get()
        assert any(not limits.active or time.sleep(0.001) for _ in range(1000))
    finally:
        blas._forks.pop()
    assert begun.wait(60)
    thread.join()


def test_a_fork_of_the_thread_that_has_the_limit_itself_does_not_wait() -> None:
    with blas.at_most(1):
        child = os.fork()
        if child == 0:
            os._exit(0 if not blas._limits.get().active else 9)
        assert os.waitpid(child, 0)[1] == 0
        assert products_threads() == 1


def test_one_batch_takes_no_more_threads_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    encode = engine.reference.model.encode
    monkeypatch.setattr(
        "engine.reference.model.encode",
        lambda *a: (seen.append(products_threads()), encode(*a))[1],
    )
    with engine.load(checkpoints.tiny(), precision="reference", threads=1) as one:
        one.encode(SENTENCES[:3])
    with engine.load(checkpoints.tiny(), precision="reference", threads=2) as two:
        two.encode(SENTENCES[:3])
    assert seen == [1, 2]


def vectors(threads: int) -> np.ndarray:
    with engine.load(checkpoints.tiny(), precision="reference", threads=threads) as one:
        return one.encode(SENTENCES[:70])


def test_batches_at_once_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of a few texts each; sums of products in another order differ by some 1e-7."""
    monkeypatch.setattr("engine.reference.BUDGET", 64)
    before, alone = products_threads(), vectors(1)
    together, first, encode = threading.Barrier(3), [0] * 3, engine.reference.model.encode

    def counted(*arguments: object) -> object:
        if first:
            first.pop()
            together.wait(60)  # breaks unless three threads come
        return encode(*arguments)

    monkeypatch.setattr("engine.reference.model.encode", counted)
    np.testing.assert_allclose(vectors(3), alone, rtol=0, atol=1e-6)
    assert products_threads() == before
