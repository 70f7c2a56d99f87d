"""Requests are computed slice by slice, or left to another process."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from engine.errors import EngineError, InputError, Overloaded
from engine.serve.queue import worker as module
from engine.serve.queue.store import Claim, ClaimLost
from engine.serve.queue.worker import MAX_ATTEMPTS, Worker


class Store:
    """A database in memory with one request, in slices."""

    def __init__(self, slices: list[list[Any]], attempt: int = 1) -> None:
        self.slices = slices
        self.saved: list[Any] = []
        self.renewed: list[float] = []
        self.claims = [Claim("request", "model", "token", attempt)]
        self.limits: list[int] = []
        self.deletions = 0
        self.error: Exception | None = None

    def claim(self, limit: int) -> list[Claim]:
        self.limits.append(limit)
        claims, self.claims = self.claims, []
        return claims

    def next_slice(self, claim: Claim) -> tuple[int, list[Any]]:
        if self.error:
            raise self.error
        return sum(map(len, self.slices[: len(self.saved)])), self.slices[len(self.saved)]

    def save(self, claim: Claim, first: int, responses: str) -> bool:
        self.saved.append([(r["id"], r["result"], r["error"]) for r in orjson.loads(responses)])
        return len(self.saved) == len(self.slices)

    def renew(self, claims: list[Claim], seconds: float = 10.0) -> None:
        assert [claim.token for claim in claims] == ["token"]
        self.renewed.append(seconds)

    def waiting(self) -> dict[str, int]:
        if self.error:
            raise self.error
        return {"queued": len(self.claims), "running": 0}

    def delete_expired(self, retention_seconds: float) -> None:
        self.deletions += 1


def success(result: Any) -> dict[str, Any]:
    return {"success": True, "result": result, "error": None, "prompt_tokens": 1}


def work(
    store: Any, run_item: Any, until: Callable[[], Any], *, concurrency: int = 2, grace: float = 5.0
) -> None:
    """Run a worker until the condition holds, and stop it."""

    async def main() -> None:
        worker = Worker(store, asyncio.to_thread, run_item, concurrency, 60.0)
        while not until():
            await asyncio.sleep(0.01)
        await worker.stop(grace)
        assert worker._runs == {}

    asyncio.run(asyncio.wait_for(main(), 20))


def test_items_are_numbered_through_all_slices() -> None:
    async def run_item(model: str, item: Any) -> Any:
        return success(f"{model}:{item['n']}")

    items = [{"n": n} for n in range(5)]
    store = Store([items[:2], items[2:3], items[3:]])
    work(store, run_item, lambda: len(store.saved) == 3)
    found = [response for saved in store.saved for response in saved]
    assert found == [(n, f"model:{n}", None) for n in range(5)]
    assert store.limits[0] == 4, "two requests for a slot"
    assert set(store.renewed) <= {10.0}, "a finished request is not released"


def test_no_more_items_at_once_than_allowed() -> None:
    running = most = 0

    async def run_item(model: str, item: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return success(None)

    store = Store([[{}] * 9])
    work(store, run_item, lambda: store.saved, concurrency=3)
    assert most == 3


def test_an_item_that_fails_is_an_outcome_and_overload_is_tried_again() -> None:
    tries: list[int] = []

    async def run_item(model: str, item: Any) -> Any:
        if item["n"] == 0:
            raise InputError("no text")
        tries.append(1)
        if len(tries) < 3:
            raise Overloaded("full")
        return success("computed")

    store = Store([[{"n": 0}, {"n": 1}]])
    work(store, run_item, lambda: store.saved)
    assert store.saved == [[(0, None, {"message": "no text"}), (1, "computed", None)]]
    assert len(tries) == 3


@pytest.mark.parametrize(("grace", "saved"), [(5.0, 1), (0.0, 0)])
def test_a_stop_finishes_the_slice_if_the_grace_allows_and_releases_the_rest(
    grace: float, saved: int
) -> None:
    begun: list[int] = []

    async def run_item(model: str, item: Any) -> Any:
        begun.append(1)
        await asyncio.sleep(0.3)
        return success("computed")

    store = Store([[{}], [{}]])
    work(store, run_item, lambda: begun, grace=grace)
    assert len(store.saved) == saved
    assert store.renewed[-1] == 0.0, "another process can claim it at once"


@pytest.mark.parametrize("error", [EngineError("no database"), ClaimLost("lost"), OSError("disk")])
def test_a_run_that_fails_releases_its_request_a_little_later(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store([[{}]])
    store.error = error
    work(store, None, lambda: module.RETRY_S in store.renewed)
    assert f"batch request request: attempt 1 failed: {error!r}" in caplog.text
    assert store.saved == []


def test_a_request_is_given_up_after_too_many_attempts(caplog: pytest.LogCaptureFixture) -> None:
    async def run_item(model: str, item: Any) -> Any:
        return success("computed")

    last, over = Store([[{}]], MAX_ATTEMPTS), Store([[{}, {}], [{}]], MAX_ATTEMPTS + 1)
    work(last, run_item, lambda: last.saved)
    work(over, run_item, lambda: len(over.saved) == 2)
    assert last.saved == [[(0, "computed", None)]]
    message = {"message": "gave up after too many unfinished attempts"}
    assert over.saved == [[(0, None, message), (1, None, message)], [(2, None, message)]]
    assert "gave up after 100 attempts" in caplog.text


@pytest.mark.slow
def test_leases_are_renewed_while_items_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.5)
    monkeypatch.setattr(module, "POLL_S", 0.1)

    async def run_item(model: str, item: Any) -> Any:
        await asyncio.sleep(1.0)
        return success(None)

    store = Store([[{}]])
    work(store, run_item, lambda: store.saved)
    assert len(store.renewed) >= 3


@pytest.mark.slow
def test_the_worker_outlives_an_outage_and_deletes_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run_item(model: str, item: Any) -> Any:
        return success(None)

    store: Any = Store([[{}]])
    claim, failures = store.claim, iter([EngineError("down"), ValueError("a bug")])

    def failing(limit: int) -> list[Claim]:
        if (error := next(failures, None)) is not None:
            raise error
        return list(claim(limit))

    store.claim = failing
    began = time.monotonic()
    work(store, run_item, lambda: store.saved and store.deletions)
    assert time.monotonic() - began > module.POLL_S, "it does not spin"
    assert store.deletions == 1
    assert "waits for its database: down" in caplog.text and "a bug" in caplog.text


def test_what_waits_is_counted_now_and_then_and_unknown_in_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module, "COUNT_S", 0.1)
    store: Any = Store([])
    store.claims = []

    async def until(worker: Worker, waiting: dict[str, int] | None) -> None:
        while worker.waiting != waiting:
            await asyncio.sleep(0.01)

    async def main() -> None:
        worker = Worker(store, asyncio.to_thread, success, 2, 60.0)  # type: ignore[arg-type]
        assert worker.waiting is None
        await until(worker, {"queued": 0, "running": 0})
        store.error = EngineError("down")
        await until(worker, None)
        store.error = None
        await until(worker, {"queued": 0, "running": 0})
        await worker.stop(1.0)

    asyncio.run(asyncio.wait_for(main(), 20))
