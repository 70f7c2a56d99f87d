"""A request leaves no reference cycles behind.

A cycle would keep a request's texts and response in memory until the next garbage collection.
"""

import asyncio
import gc
import json
from collections import Counter

import pytest

from engine.serve.app import App
from engine.serve.http.messages import WATCH_AFTER_S
from engine.serve.server import service_of
from engine.serve.settings import parse_settings
from tests.serve.fake_embedder import FakeEmbedder

RUN = "/client/v4/accounts/acc/ai/run/fake"
REQUESTS = [
    ("/embed", {"inputs": "a"}, 200),
    ("/embed", {"inputs": ["a", "b"]}, 200),
    ("/v1/embeddings", {"model": "fake", "input": "a"}, 200),
    (RUN, {"text": "a"}, 200),
    (RUN, {"text": 5}, 400),
    ("/embed", {"inputs": "a " * 1000, "truncate": False}, 422),
    ("/nowhere", {}, 404),
]


class Client:
    """Requests to the application, without a connection."""

    def __init__(self, seconds_a_batch: float) -> None:
        settings = parse_settings(["--no-access-log"], {"BGE_MODEL": "fake"})
        slow = FakeEmbedder("fake", seconds_a_batch=seconds_a_batch)
        self.service = service_of(settings, lambda choice, settings: slow)
        self.app = App(self.service)

    async def post(self, path: str, body: object) -> int:
        """The status of the response."""
        data = json.dumps(body).encode()
        messages = [{"type": "http.request", "body": data, "more_body": False}]
        sent = []

        async def receive() -> object:
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message: dict) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
        headers = [(b"host", b"x"), (b"content-length", b"%d" % len(data))]
        scope |= {"http_version": "1.1", "headers": headers, "client": ("here", 1)}
        await self.app(scope, receive, send)
        return sent[0]["status"]


@pytest.mark.slow
@pytest.mark.parametrize("seconds_a_batch", [0, 2 * WATCH_AFTER_S])
@pytest.mark.parametrize("path, body, status", REQUESTS)
def test_a_request_leaves_no_cycles(path, body, status, seconds_a_batch):
    async def garbage() -> Counter:
        client = Client(seconds_a_batch)
        client.service.models.start()
        assert await client.post(path, body) == status  # creates what is created once
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            await client.post(path, body)
            await asyncio.sleep(0.01)  # cancelled tasks end
            gc.collect()
            return Counter(type(thing).__name__ for thing in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
            await client.service.models.stop()

    assert not asyncio.run(garbage())
