"""What the batch queue answers, on SQLite and on a real PostgreSQL."""

import asyncio
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError, Overloaded
from engine.serve.queue import worker
from engine.serve.queue.batch_queue import BatchQueue
from engine.serve.queue.worker import Worker
from tests.serve.queue.local import done, responses, with_queue
from tests.serve.queue.process import ACCOUNT, batch, embed, word_lengths


def test_answers_in_order_with_usage(queue_url: str) -> None:
    items = batch(3, size=70)

    async def check(queue: BatchQueue) -> None:
        request_id = await queue.submit("the-model", ACCOUNT, items)
        status = await done(queue, request_id)
        assert status.model == "the-model"
        tokens = sum(5 * (3 if isinstance(item["text"], list) else 1) for item in items)
        assert status.usage == {
            "prompt_tokens": tokens,
            "completion_tokens": 0,
            "total_tokens": tokens,
        }
        assert status.responses is not None
        for index, (item, response) in enumerate(zip(items, status.responses, strict=True)):
            texts = [item["text"]] if isinstance(item["text"], str) else item["text"]
            data = response["result"].pop("data")
            assert data.dtype == np.float32
            assert data.tobytes() == word_lengths(texts).tobytes()
            assert response == {
                "id": index,
                "success": True,
                "external_reference": item["external_reference"],
                "result": {"shape": [len(texts), 4], "pooling": "mean"},
            }

    with_queue(queue_url, check)


def test_no_items_and_no_reference(queue_file: str) -> None:
    async def check(queue: BatchQueue) -> None:
        assert await responses(queue, []) == []
        assert (await responses(queue, [{"text": "a"}]))[0]["external_reference"] is None

    with_queue(queue_file, check)


@pytest.mark.slow
def test_states(queue_file: str) -> None:
    gate = asyncio.Event()

    async def run_item(model: str, item: dict[str, Any]) -> dict[str, Any]:
        await gate.wait()
        return await embed(model, item)

    async def state(queue: BatchQueue, request_id: str) -> str:
        status = await queue.status(ACCOUNT, request_id)
        assert status is not None
        assert status.model == "model"
        assert (status.responses is None) == (status.usage is None) == (status.state != "done")
        return status.state

    async def check(queue: BatchQueue) -> None:
        ids = [await queue.submit("model", ACCOUNT, [{"text": "a"}]) for _ in range(3)]
        while [await state(queue, request_id) for request_id in ids] != ["running"] * 2 + [
            "queued"
        ]:
            await asyncio.sleep(0.02)
        await asyncio.sleep(1.0)
        assert await state(queue, ids[2]) == "queued", "two requests are claimed for one slot"
        gate.set()
        for request_id in ids:
            await done(queue, request_id)
            assert await state(queue, request_id) == "done"

    with_queue(queue_file, check, run_item, concurrency=1)


def test_a_bad_item_fails_alone(queue_url: str) -> None:
    async def run_item(model: str, item: dict[str, Any]) -> dict[str, Any]:
        if item["text"] == "refused":
            return {"success": False, "result": None, "error": {"code": 5006}, "prompt_tokens": 0}
        if item["text"] == "unstorable":
            return {"success": True, "result": {"data": {1, 2}}, "error": None, "prompt_tokens": 1}
        if item["text"] == "too much":
            raise InputError("batch of 101 texts; at most 100 are allowed")
        return await embed(model, item)

    async def check(queue: BatchQueue) -> None:
        texts = ["good", "bad", "refused", "unstorable", "too much", "fine"]
        items = [{"text": text, "external_reference": text} for text in texts]
        got = await responses(queue, items)
        assert [response["success"] for response in got] == [True, False, False, False, False, True]
        assert [response["external_reference"] for response in got] == texts
        errors = [response["error"] for response in got if not response["success"]]
        assert errors == [
            {"message": "internal error (ValueError)"},
            {"code": 5006},
            {"message": "internal error (TypeError)"},
            {"message": "batch of 101 texts; at most 100 are allowed"},
        ]
        assert all(r["result"] is None for r in got if not r["success"])

    with_queue(queue_url, check, run_item)


def test_an_overloaded_server_is_asked_again(queue_file: str) -> None:
    refusals = iter(range(5))

    async def run_item(model: str, item: dict[str, Any]) -> dict[str, Any]:
        if next(refusals, None) is not None:
            raise Overloaded("no room")
        return await embed(model, item)

    async def check(queue: BatchQueue) -> None:
        got = await responses(queue, [{"text": "a"}, {"text": "b"}])
        assert [response["success"] for response in got] == [True, True]

    with_queue(queue_file, check, run_item)


def test_no_more_items_at_once_than_asked(queue_file: str) -> None:
    running = most = 0

    async def run_item(model: str, item: dict[str, Any]) -> dict[str, Any]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        return await embed(model, item)

    async def check(queue: BatchQueue) -> None:
        ids = [await queue.submit("model", ACCOUNT, batch(seed)) for seed in range(10)]
        for request_id in ids:
            await done(queue, request_id)
        assert most == 3

    with_queue(queue_file, check, run_item, concurrency=3)


def test_an_unknown_id_is_none(queue_url: str) -> None:
    async def check(queue: BatchQueue) -> None:
        mine = await queue.submit("model", ACCOUNT, [{"text": "a"}])
        assert await queue.status(ACCOUNT, mine) is not None
        assert await queue.status(ACCOUNT, mine.upper()) is not None
        assert await queue.status("another", mine) is None
        for unknown in ("768f15b7-4fd6-4498-906e-ad94ffc7f8d2", "", "x", "\0", "%", mine + "\0"):
            assert await queue.status(ACCOUNT, unknown) is None

    with_queue(queue_url, check)


def test_any_unicode_survives(queue_url: str) -> None:
    texts = [
        "\0 nul",
        "😀🏳️‍🌈",
        "مرحبا",
        "e\u0301",
        "\u2028",
        "\ufffe",
        "'; DROP TABLE x; --",
        "\\u0000",
    ]

    async def echo(model: str, item: dict[str, Any]) -> dict[str, Any]:
        return {"success": True, "result": {"echo": item["text"]}, "error": None}

    async def check(queue: BatchQueue) -> None:
        items = [{"text": text, "external_reference": {text: [text]}} for text in texts]
        got = await responses(queue, items)
        assert [response["result"]["echo"] for response in got] == texts
        assert [r["external_reference"] for r in got] == [{text: [text]} for text in texts]
        odd = await queue.submit("model", "\0 \ud800 account", [{"text": "a"}])
        assert await queue.status("\0 \ud800 account", odd) is not None
        assert await queue.status("\0 \ud801 account", odd) is None
        for unstorable in ({"text": "\ud800"}, {"text": 1 << 70}, {"text": object()}):
            with pytest.raises(InputError, match="request 1 of the batch cannot be stored"):
                await queue.submit("model", ACCOUNT, [{"text": "a"}, unstorable])

    with_queue(queue_url, check, echo)


def test_many_submit_at_once(queue_url: str) -> None:
    async def check(queue: BatchQueue) -> None:
        batches = [batch(seed) for seed in range(60)]
        ids = await asyncio.gather(*(queue.submit("model", ACCOUNT, items) for items in batches))
        assert len(set(ids)) == 60
        for items, request_id in zip(batches, ids, strict=True):
            status = await done(queue, request_id)
            assert status.responses is not None
            references = [response["external_reference"] for response in status.responses]
            assert references == [item["external_reference"] for item in items]

    with_queue(queue_url, check)


@pytest.mark.slow
def test_a_request_that_never_ends_well_is_given_up(
    queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Worker._compute_item

    async def broken(self: Worker, model: str, item: dict[str, Any]) -> Any:
        if item["external_reference"] == "0/32":
            raise OSError("the process would have ended here")
        return await whole(self, model, item)

    monkeypatch.setattr(worker, "MAX_ATTEMPTS", 2)
    monkeypatch.setattr(Worker, "_compute_item", broken)

    async def check(queue: BatchQueue) -> None:
        items = batch(0, size=70)
        got = await responses(queue, items)
        assert [response["id"] for response in got] == list(range(70))
        assert [response["success"] for response in got] == [True] * 32 + [False] * 38
        references = [response["external_reference"] for response in got]
        assert references == [item["external_reference"] for item in items]
        assert "gave up after too many" in got[-1]["error"]["message"]

    with_queue(queue_url, check)
