"""Which requests a full server refuses by their head, and its rest."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from engine.serve.http import load_shedding
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.load_shedding import Overload, wants_vectors
from engine.serve.http.messages import Call
from engine.serve.http.metrics import Metrics

ACCOUNT = "/client/v4/accounts/a/ai"


@pytest.mark.parametrize(
    ("method", "path", "length", "query", "wants"),
    [
        ("POST", "/embed", 10, b"", True),
        ("POST", "/embed_all", 10, b"", True),
        ("POST", "/similarity", 10, b"", True),
        ("POST", "/v1/embeddings", 10, b"", True),
        ("POST", f"{ACCOUNT}/v1/embeddings", 10, b"", True),
        ("POST", f"{ACCOUNT}/run/@cf/m", 128, b"", True),
        ("POST", f"{ACCOUNT}/run/@cf/m", 127, b"", False),  # may be a question for a batch
        ("POST", f"{ACCOUNT}/run/@cf/m", None, b"", False),
        ("POST", f"{ACCOUNT}/run/@cf/m", 128, b"queueRequest=true", False),
        ("POST", "/tokenize", 10, b"", False),
        ("POST", "/embed/", 10, b"", False),
        ("GET", "/embed", 10, b"", False),
        ("GET", "/health", None, b"", False),
        ("GET", f"{ACCOUNT}/models/search", None, b"", False),
    ],
)
def test_requests_for_vectors(
    method: str, path: str, length: int | None, query: bytes, wants: bool
) -> None:
    headers = [] if length is None else [(b"content-length", b"%d" % length)]
    scope = {"method": method, "path": path, "headers": headers, "query_string": query}
    assert wants_vectors(Call(scope)) is wants


def test_one_rest_for_the_refusals_of_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(load_shedding.time, "sleep", rests.append)
    problem = Problem(Kind.OVERLOADED, "full", retry_after=3)
    batcher = SimpleNamespace(overloaded=lambda: problem)
    models: Any = SimpleNamespace(first=SimpleNamespace(batcher=batcher), backlog=1.0)
    metrics = Metrics(lambda: 0)
    full = Overload(models, metrics)

    async def turn(times: int) -> None:
        for _ in range(times):
            with pytest.raises(Problem) as raised:
                full.refuse()
            assert raised.value is problem
        assert rests == []
        await asyncio.sleep(0)

    asyncio.run(turn(3))
    assert rests == [load_shedding.REST_S] and metrics.requests["unread"] == 3
    rests.clear()
    models.backlog = load_shedding.REST_S  # nearly done: a rest must not outlast the work
    asyncio.run(turn(1))
    assert rests == [load_shedding.REST_S / load_shedding.PART]
