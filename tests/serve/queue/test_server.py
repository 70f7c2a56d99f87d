"""The batch API of a real server on a real (tiny) model: kill -9, replicas and SIGTERM, by HTTP."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine
from tests.serve.queue import postgres
from tests.serve.serving import Server
from tests.support.texts import mixed_texts

MODEL = "@cf/tests/tiny"
RUN = f"/client/v4/accounts/0123456789abcdef/ai/run/{MODEL}"
REQUESTS, ITEMS = 200, 4


def serve(tiny: Path, queue_url: str) -> Server:
    model = f"{tiny}={MODEL}"
    return Server("-m", "engine", "serve", "--model", model, "--threads", "1", "--queue", queue_url)


def requests_of(number: int) -> list[dict[str, Any]]:
    """Single texts and lists, of both poolings; no request is like another."""
    texts = [f"{number} {text}"[:300] for text in mixed_texts()[number % 40 :: 40]]
    poolings = ("mean", "cls")
    return [
        {
            "text": texts[i : i + 2] * 16,  # so that the queue is slower than the submissions
            "pooling": poolings[i % 2],
            "external_reference": f"{number}/{i}",
        }
        for i in range(ITEMS)
    ]


def submit(server: Server, number: int) -> str:
    reply = server.ask(f"{RUN}?queueRequest=true", {"requests": requests_of(number)})
    assert reply.status == 200, reply.body
    assert reply.json["result"]["status"] == "queued"
    return str(reply.json["result"]["request_id"])


def result(server: Server, request_id: str, patience: float = 120.0) -> dict[str, Any]:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        reply = server.ask(RUN, {"request_id": request_id})
        assert reply.status == 200, reply.body
        if "responses" in reply.json["result"]:
            return dict(reply.json["result"])
        assert reply.json["result"]["status"] in ("queued", "running")
        time.sleep(0.05)
    raise AssertionError(f"{request_id} was not answered in {patience} s")


@pytest.fixture(scope="module")
def library(tiny: Path) -> engine.Embedder:
    return engine.load(tiny, threads=1)


def assert_right(library: engine.Embedder, number: int, answer: dict[str, Any]) -> None:
    """Every item answered once, with the library's vectors bit for bit, and the tokens counted."""
    responses = sorted(answer["responses"], key=lambda response: int(response["id"]))
    assert [response["id"] for response in responses] == list(range(ITEMS))
    tokens = 0
    for request, response in zip(requests_of(number), responses, strict=True):
        assert response["success"] is True
        assert response["external_reference"] == request["external_reference"]
        wanted = library.encode(request["text"], pooling=request["pooling"], on_truncate="ignore")
        assert np.array_equal(np.array(response["result"]["data"], np.float32), wanted)
        assert response["result"]["shape"] == list(wanted.shape)
        assert response["result"]["pooling"] == request["pooling"]
        counts = library.count_tokens(request["text"])
        tokens += sum(min(count, library.max_tokens) for count in counts)
    usage = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    assert answer["usage"] == usage


@pytest.mark.slow
def test_a_killed_server_answers_all_it_accepted(
    tiny: Path, library: engine.Embedder, queue_url: str
) -> None:
    with serve(tiny, queue_url) as first:
        ids = [submit(first, number) for number in range(REQUESTS)]
        result(first, ids[20])
        first.process.kill()
    with serve(tiny, queue_url) as second:
        unfinished = second.ask(RUN, {"request_id": ids[-1]}).json["result"]
        assert "responses" not in unfinished, "the kill must come in the middle"
        for number, request_id in enumerate(ids):
            assert_right(library, number, result(second, request_id))
        assert second.stop() == 0


def test_a_replica_answers_for_one_that_is_dead(
    tiny: Path, library: engine.Embedder, postgres_server: postgres.Server
) -> None:
    url = postgres_server.database("servers")
    with serve(tiny, url) as doomed, serve(tiny, url) as survivor:
        ids = [submit((doomed, survivor)[number % 2], number) for number in range(100)]
        result(survivor, ids[10])
        doomed.process.kill()
        for number, request_id in enumerate(ids):
            assert_right(library, number, result(survivor, request_id))


@pytest.mark.slow
def test_sigterm_loses_no_accepted_request(
    tiny: Path, library: engine.Embedder, queue_file: str
) -> None:
    with serve(tiny, queue_file) as first:
        ids = [submit(first, number) for number in range(60)]
        assert first.stop() == 0
    with serve(tiny, queue_file) as second:
        for number, request_id in enumerate(ids):
            assert_right(library, number, result(second, request_id))
