"""Stages in threads of their own, ended together, whatever they wait for."""

import threading
import time
from collections.abc import Iterator

import pytest

from engine.jobs import pipeline
from engine.jobs.pipeline import Stages, Stopped


def test_items_pass_in_order_and_one_is_kept_ready() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for n in range(50):
            begun.append(n)
            yield n

    with Stages() as stages:
        doubled = stages.ahead(2 * n for n in stages.ahead(items()))
        assert next(doubled) == 0
        time.sleep(0.3)
        assert len(begun) <= 6  # each stage has one ready and one in hand
        assert list(doubled) == [2 * n for n in range(1, 50)]


def test_an_error_of_a_stage_is_raised_where_its_items_are_taken() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("a row")

    with Stages() as stages:
        items = stages.ahead(n for n in stages.ahead(failing()))
        assert next(items) == 1
        with pytest.raises(ValueError, match="a row"):
            next(items)


def test_leaving_ends_stages_that_wait_for_room_or_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "POLL_SECONDS", 0.01)
    unwound = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            unwound.set()

    def waiting() -> Iterator[int]:
        while True:
            pipeline.check()
            time.sleep(0.001)
        yield 0

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Stages() as stages:
        next(stages.ahead(endless()))
        stages.ahead(waiting())
        raise KeyboardInterrupt
    assert threading.active_count() == before and unwound.wait(5)
    with pytest.raises(Stopped):
        stages.check()


def test_outside_a_pipeline_check_does_nothing() -> None:
    pipeline.check()
