"""Bodies within a common limit, and vectors counted and noted."""

import asyncio
from typing import Any

import numpy as np
import pytest

from engine.serve.batching.request import Wish
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Call
from engine.serve.server import service_of
from engine.serve.service import Service, notes
from engine.serve.settings import Settings
from tests.serve.fake_embedder import FakeEmbedder


def made(**settings: Any) -> Service:
    return service_of(Settings(**settings), lambda choice, settings: FakeEmbedder())


def call(body: bytes) -> Call:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return Call({"path": "/", "headers": [], "query_string": b""}, receive)


def test_bodies_of_all_requests_share_a_limit() -> None:
    service = made(max_waiting_bytes=10)

    async def test() -> None:
        first, second = call(b"[1,2,3]"), call(b"[4,5]")
        assert await service.json(first) == [1, 2, 3]
        first.unwatch()
        assert service.held == first.held == 7
        with pytest.raises(Problem, match="7 bytes of requests wait, of 10") as raised:
            await service.json(second)
        assert raised.value.kind is Kind.OVERLOADED
        assert second.held == 0 and service.held == 7
        service.held -= first.held
        assert await service.json(second) == [4, 5]
        second.unwatch()

    asyncio.run(test())


def test_vectors_are_counted_and_noted() -> None:
    service = made()
    asked, wish = call(b""), Wish(pooling="cls")

    async def test() -> None:
        service.models.start()
        texts = ["a b", "word " * 100]
        job = await service.embed(asked, service.models.first, texts, wish)
        assert np.array_equal(job.vectors(), FakeEmbedder().encode(texts, pooling="cls"))
        job = await service.embed(asked, service.models.first, ["c"], wish, prompt="say: ")
        assert np.array_equal(job.vectors(), FakeEmbedder().encode(["say: c"], pooling="cls"))
        await service.models.stop()

    asyncio.run(test())
    assert (asked.model, asked.texts, asked.tokens, asked.cut) == ("fake", 3, 4 + 64 + 4, 1)
    assert notes(asked, wish) == [(b"x-pooling", b"cls"), (b"x-truncated-texts", b"1")]
    assert notes(call(b""), Wish()) == [(b"x-pooling", b"mean")]
    counted = service.metrics
    assert (counted.texts, counted.embedded) == (3, 3)
    assert counted.successes == {"batch": 1, "single": 1}
