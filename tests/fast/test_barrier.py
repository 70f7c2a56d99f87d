"""Threads over one job: every task once, and no thread in a phase before the last one is done."""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from engine.fast import barrier
from engine.fast.codegen.records import view
from engine.fast.job import JOB, TICKET_BYTES, WORKER
from engine.fast.kernels import jit
from tests.fast.compiled import address, load_long

PATIENCE = 60  # seconds after which something hangs
STEPS = 5
COUNTS = (0, 1, 2, 7, 1000)
WORD = TICKET_BYTES // 8
NOTED, SHUT, EARLY = 0, 1, 2  # places of the table that the tasks below find as their `layer`
job_at, worker_at = view(JOB), view(WORKER)


@jit  # type: ignore[untyped-decorator]
def given(job, layer, count):  # type: ignore[no-untyped-def]
    return count


@barrier.phase(given)
@jit  # type: ignore[untyped-decorator]
def note(job, me, task, layer, count):  # type: ignore[no-untyped-def]
    """Adds one to the task's own place in a table."""
    barrier.take_ticket(load_long(layer, NOTED) + 8 * task)


@barrier.phase(given)
@jit  # type: ignore[untyped-decorator]
def note_all(job, me, task, layer, count):  # type: ignore[no-untyped-def]
    """The same, and counts tasks of the phase before that are still to be done."""
    before = load_long(layer, NOTED)
    for earlier in range(count):
        if barrier.read_ticket(before + 8 * earlier) == 0:
            barrier.take_ticket(layer + 8 * EARLY)
    barrier.take_ticket(before + 8 * (count + task))


@barrier.phase(given)
@jit  # type: ignore[untyped-decorator]
def note_behind_a_gate(job, me, task, layer, count):  # type: ignore[no-untyped-def]
    """Notes the task; task 0 ends only when the gate is open."""
    barrier.take_ticket(load_long(layer, NOTED) + 8 * task)
    while task == 0 and barrier.read_ticket(layer + 8 * SHUT) == 1:
        pass


@jit  # type: ignore[untyped-decorator]
def run_note(job, worker, layer, count):  # type: ignore[no-untyped-def]
    note(job_at(job), worker_at(worker), layer, count)


@jit  # type: ignore[untyped-decorator]
def run_two(job, worker, layer, count):  # type: ignore[no-untyped-def]
    note(job_at(job), worker_at(worker), layer, count)
    note_all(job_at(job), worker_at(worker), layer, count)


@jit  # type: ignore[untyped-decorator]
def run_gate(job, worker, layer, count):  # type: ignore[no-untyped-def]
    note_behind_a_gate(job_at(job), worker_at(worker), layer, count)


class Job:
    """A table of counters, zeros at first; and what the tasks of the tests write."""

    def __init__(self, count: int, on_wait: Callable[[], int] = lambda: 0) -> None:
        self.count = count
        self.tickets = np.zeros((STEPS, WORD), np.int64)
        self.noted = np.zeros(2 * count + 1, np.int64)
        self.on_wait = ctypes.CFUNCTYPE(ctypes.c_int)(on_wait)
        self.table, self.layer = np.zeros((), JOB), np.zeros(3, np.int64)
        self.table["tickets"] = address(self.tickets)
        self.table["sched_yield"] = ctypes.cast(self.on_wait, ctypes.c_void_p).value
        self.layer[NOTED] = address(self.noted)

    def run(self, phases: Any, number: int = 0) -> int:
        """One thread from phase `number` on; the number of the phase that follows."""
        worker = np.zeros((), WORKER)
        worker["phase"] = number
        phases(address(self.table), address(worker), address(self.layer), self.count)
        return int(worker["phase"])

    def times(self) -> list[int]:
        return self.noted[: self.count].tolist()


@contextmanager
def threads(number: int, call: Callable[[], object]) -> Iterator[list[threading.Thread]]:
    """They start together. All have ended when the block has; or the test fails."""
    ready = threading.Barrier(number)

    def start() -> None:
        ready.wait(PATIENCE)
        call()

    started = [threading.Thread(target=start, daemon=True) for _ in range(number)]
    for thread in started:
        thread.start()
    yield started
    for thread in started:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in started), "a thread waits for ever"


# counters


def test_a_ticket_is_the_number_before() -> None:
    @jit  # type: ignore[untyped-decorator]
    def take(counter):  # type: ignore[no-untyped-def]
        return barrier.take_ticket(counter)

    @jit  # type: ignore[untyped-decorator]
    def read(counter):  # type: ignore[no-untyped-def]
        return barrier.read_ticket(counter)

    counters = np.array([5, 2**40, 5], np.int64)
    assert [take(address(counters) + 8) for _ in range(3)] == [2**40, 2**40 + 1, 2**40 + 2]
    assert read(address(counters) + 8) == 2**40 + 3
    assert counters.tolist() == [5, 2**40 + 3, 5]


def test_no_ticket_is_given_twice() -> None:
    @jit  # type: ignore[untyped-decorator]
    def take_many(counter, seen, many):  # type: ignore[no-untyped-def]
        for _ in range(many):
            barrier.take_ticket(seen + 8 * barrier.take_ticket(counter))

    many, counter = 200_000, np.zeros(1, np.int64)
    seen = np.zeros(4 * many, np.int64)
    take_many(address(counter), address(seen), 0)  # compiled before the threads start
    with threads(4, lambda: take_many(address(counter), address(seen), many)):
        pass
    assert counter == 4 * many and (seen == 1).all()


def test_a_function_is_called_by_its_address() -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(function):  # type: ignore[no-untyped-def]
        barrier.call(function)

    calls: list[int] = []

    @ctypes.CFUNCTYPE(ctypes.c_int)
    def function() -> int:
        calls.append(1)
        return 0

    call(ctypes.cast(function, ctypes.c_void_p).value)
    assert calls == [1]


# phases


@pytest.mark.parametrize("count", COUNTS)
def test_one_alone_does_everything(count: int) -> None:
    """Though others may come, nobody is waited for."""
    job = Job(count)
    assert job.run(run_note, number=3) == 4
    assert job.times() == [1] * count
    assert job.noted[count:].tolist() == [0] * (count + 1)


def test_each_phase_has_counters_of_its_own() -> None:
    """Of tasks taken and tasks done; the one who finds no task left has taken one too many."""
    job = Job(7)
    job.run(run_note, number=3)
    expected = np.zeros_like(job.tickets)
    expected[3, :2] = 8, 7
    assert np.array_equal(job.tickets, expected)
    job.run(run_note, number=4)
    expected[4, :2] = 8, 7
    assert np.array_equal(job.tickets, expected)


@pytest.mark.slow
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("helpers", [2, 4])
def test_several_do_each_task_once_and_one_phase_after_the_other(count: int, helpers: int) -> None:
    Job(1).run(run_two)
    for _ in range(20):
        job = Job(count)
        numbers: list[int] = []
        with threads(helpers, lambda job=job, out=numbers: out.append(job.run(run_two))):
            pass
        assert numbers == [2] * helpers
        assert job.noted.tolist() == [1] * (2 * count) + [0]
        assert job.layer[EARLY] == 0, "a task began before the last phase was done"
        assert job.tickets[:2, :2].tolist() == [[count + helpers, count]] * 2


def test_one_that_comes_late_finds_nothing_to_do() -> None:
    job = Job(7)
    job.run(run_note)
    assert job.run(run_note) == 1
    assert job.times() == [1] * 7
    assert job.tickets[0, :2].tolist() == [9, 7]


def test_no_thread_leaves_a_phase_before_its_last_task_is_done() -> None:
    """One is held up in task 0; the other does all others, waits, and lets other threads run."""
    calls = [0]

    def on_wait() -> int:
        calls[0] += 1
        if calls[0] == 3:
            done_before.append(len(ended))
            job.layer[SHUT] = 0
        return 0

    job, ended, done_before = Job(9, on_wait), list[int](), list[int]()
    job.run(run_gate)  # compiled, and nothing shut
    job.tickets[:], job.noted[:], job.layer[SHUT] = 0, 0, 1
    with threads(2, lambda: ended.append(job.run(run_gate))):
        pass
    assert calls[0] >= 3 and done_before == [0]
    assert ended == [1, 1] and job.times() == [1] * 9


def test_one_that_comes_in_the_middle_helps_with_what_is_left() -> None:
    job = Job(5)
    job.run(run_gate)
    job.tickets[:], job.noted[:], job.layer[SHUT] = 0, 0, 1
    job.tickets[0, :2] = 3, 3  # three tasks are taken and done already
    job.run(run_gate)
    assert job.times() == [0, 0, 0, 1, 1]


def test_without_tickets_phases_are_counted_and_nothing_is_done() -> None:
    job = Job(7)
    job.table["tickets"] = 0
    assert job.run(run_two) == 2
    assert not job.noted.any() and not job.tickets.any()
