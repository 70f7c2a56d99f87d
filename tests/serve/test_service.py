"""The common limit of request bodies, and the counts of requests with vectors."""

import asyncio
from typing import Any

import numpy as np
import pytest

from engine.serve.batching.request import WorkOptions
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Request
from engine.serve.server import service_of
from engine.serve.service import Service, vector_headers
from engine.serve.settings import Settings
from tests.serve.fake_embedder import FakeEmbedder


def made(**settings: Any) -> Service:
    return service_of(Settings(**settings), lambda choice, settings: FakeEmbedder())


def request(body: bytes) -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "path": "/", "headers": [], "query_string": b""}, receive)


def test_bodies_of_all_requests_share_a_limit() -> None:
    service = made(max_waiting_bytes=10)

    async def test() -> None:
        first, second = request(b"[1,2,3]"), request(b"[4,5]")
        assert await service.json(first) == [1, 2, 3]
        first.stop_watching()
        assert service.body_bytes == first.body_bytes == 7
        with pytest.raises(HTTPError, match="7 of 10 bytes of request bodies are in use") as raised:
            await service.json(second)
        assert raised.value.kind is ErrorKind.OVERLOADED
        assert second.body_bytes == 0 and service.body_bytes == 7
        service.release_body(first)
        third = request(b"[4,5]")
        assert await service.json(third) == [4, 5]
        third.stop_watching()

    asyncio.run(test())


def test_vectors_are_counted() -> None:
    service = made()
    asked, options = request(b""), WorkOptions(pooling="cls")

    async def test() -> None:
        service.models.start()
        texts = ["a b", "word " * 100]
        work = await service.embed(asked, service.models.first, texts, options)
        assert np.array_equal(work.vectors(), FakeEmbedder().encode(texts, pooling="cls"))
        work = await service.embed(asked, service.models.first, ["c"], options, prompt="say: ")
        assert np.array_equal(work.vectors(), FakeEmbedder().encode(["say: c"], pooling="cls"))
        await service.models.stop()

    asyncio.run(test())
    assert (asked.model, asked.texts, asked.tokens, asked.truncated) == ("fake", 3, 4 + 64 + 4, 1)
    assert vector_headers(asked, options) == {"x-pooling": "cls", "x-truncated-texts": "1"}
    assert vector_headers(request(b""), WorkOptions("mean")) == {"x-pooling": "mean"}
    metrics = service.metrics.text()
    for counted in (b"te_embed_count", b"te_embed_success"):
        assert b'%b{model="fake"} 3.0' % counted in metrics
    assert b'bge_truncated_texts_total{model="fake"} 1.0' in metrics
    for method in (b"batch", b"single"):
        assert b'te_request_success{method="%b",model="fake"} 1.0' % method in metrics
