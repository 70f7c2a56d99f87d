"""Work that no signal handler interrupts, and what a forked child has of its own."""

import gc
import os
import signal
import threading
import time

import pytest

from engine.system import threads
from engine.system.threads import PerProcess, undisturbed


class Interrupt(Exception):
    pass


def interrupt(*_: object) -> None:
    raise Interrupt


def test_every_copy_runs_in_a_thread_of_its_own_and_is_waited_for() -> None:
    together, done = threading.Barrier(3), list[str]()

    def work() -> None:
        together.wait(60)
        done.append(threading.current_thread().name)

    undisturbed(work, copies=3, name="bge-test")
    assert done == ["bge-test"] * 3


def test_an_error_is_raised_by_the_caller_and_leaves_no_cycle() -> None:
    class Large:
        alive = 0

        def __init__(self) -> None:
            Large.alive += 1

        def __del__(self) -> None:
            Large.alive -= 1

    def work() -> None:
        large = Large()
        raise MemoryError(f"no room for {large}")

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(MemoryError, match="no room"):
            undisturbed(work)
    finally:
        gc.enable()
    end = time.monotonic() + 60
    while Large.alive and time.monotonic() < end:
        time.sleep(0.001)  # the thread may be on its way out
    assert Large.alive == 0


def test_a_thread_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        undisturbed(lambda: None, copies=2)


def test_an_interrupt_ends_the_wait_and_not_the_work() -> None:
    go_on, done = threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(60)
        done.set()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Interrupt):
            undisturbed(work)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not done.is_set()
    go_on.set()
    assert done.wait(60)


def test_a_value_is_made_once_for_all_threads_and_anew_in_a_child() -> None:
    value, found = PerProcess(object), list[object]()
    together = threading.Barrier(8)

    def look() -> None:
        together.wait(60)
        found.append(value.get())

    undisturbed(look, copies=8)
    assert len(set(map(id, found))) == 1 and value.get() is found[0]
    child = os.fork()
    if child == 0:
        os._exit(0 if value.get() is not found[0] and value.get() is value.get() else 9)
    assert os.waitpid(child, 0)[1] == 0
    assert value.get() is found[0]


def test_a_value_ends_with_its_owner() -> None:
    before = len(threads._made)
    value = PerProcess(object)
    value.get()
    assert len(threads._made) == before + 1
    del value
    assert len(threads._made) == before
