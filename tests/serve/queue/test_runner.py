"""A request slice by slice, or handed back for another run."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import InputError, Overloaded
from engine.serve.queue import runner
from engine.serve.queue.runner import HandBack, Runner


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The steps that were kept, in place of DBOS's."""
    kept: list[Any] = []

    def run_step(about: Any, step: Callable[..., Any], *arguments: Any) -> None:
        kept.append(step(*arguments))

    monkeypatch.setattr(runner, "DBOS", SimpleNamespace(workflow_id="w", run_step=run_step))
    monkeypatch.setattr(runner, "packed", lambda index, item, outcome: (index, outcome))
    return kept


def answered(run_item: Any, slices: list[Any], act: Any = None, concurrency: int = 2) -> Any:
    """What `answer` returns or raises, called on a thread as DBOS does."""

    async def main() -> Any:
        runner = Runner(run_item, concurrency)
        work = asyncio.create_task(asyncio.to_thread(runner.answer, "model", slices))
        if act:
            await asyncio.sleep(0.05)
            assert runner.in_hand == ["w"]
            act(runner)
        try:
            return await work
        finally:
            assert runner.in_hand == []

    return asyncio.run(asyncio.wait_for(main(), 10))


def test_items_are_numbered_through_all_slices(steps: list[Any]) -> None:
    async def run_item(model: str, item: Any) -> Any:
        return f"{model}:{item['n']}"

    items = [{"n": n} for n in range(5)]
    assert answered(run_item, [items[:2], items[2:3], items[3:]]) == {"items": 5}
    kept = [answer for step in steps for answer in step["responses"]]
    assert kept == [(n, f"model:{n}") for n in range(5)] and len(steps) == 3


def test_no_more_items_at_once_than_allowed(steps: list[Any]) -> None:
    running = most = 0

    async def run_item(model: str, item: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    answered(run_item, [[{}] * 9], concurrency=3)
    assert most == 3


def test_an_item_that_fails_is_an_outcome_and_overload_is_tried_again(steps: list[Any]) -> None:
    tries: list[int] = []

    async def run_item(model: str, item: Any) -> Any:
        if item["n"] == 0:
            raise InputError("no text")
        tries.append(1)
        if len(tries) < 3:
            raise Overloaded("full")
        return "computed"

    answered(run_item, [[{"n": 0}, {"n": 1}]])
    (step,) = steps
    (_, failed), (_, done) = step["responses"]
    assert failed["error"] == {"message": "no text"} and not failed["success"]
    assert done == "computed" and len(tries) == 3


@pytest.mark.parametrize("act", [Runner.stop, Runner.abandon])
def test_a_runner_that_stops_hands_back_what_is_left(steps: list[Any], act: Any) -> None:
    async def run_item(model: str, item: Any) -> Any:
        await asyncio.sleep(0.3)
        return "computed"

    with pytest.raises(HandBack):
        answered(run_item, [[{}], [{}]], act)
    # stop finishes the slice at hand and keeps it; abandon does not
    assert len(steps) == (1 if act is Runner.stop else 0)


def test_a_fault_of_the_queue_hands_the_request_back(
    steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the database is gone")

    monkeypatch.setattr(runner.DBOS, "run_step", broken)
    with pytest.raises(HandBack):
        answered(None, [[{}]])
    assert not issubclass(HandBack, Exception)  # DBOS would store it as the answer
