"""Routes, authentication, errors and timeouts, without a connection."""

import asyncio
import json
from typing import Any

import pytest

from engine.serve.app import App
from engine.serve.server import service_of
from engine.serve.settings import Settings
from tests.serve.fake_embedder import FakeEmbedder

RUN = "/client/v4/accounts/a/ai/run/fake"


class Reply:
    def __init__(self, messages: list[Any]) -> None:
        start, *bodies = messages
        self.status, self.body = start["status"], b"".join(part["body"] for part in bodies)
        self.headers = dict(start["headers"])


class Client:
    """Sends requests to an App in this process."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        named = {"host": "x", **headers}
        scope = {
            "type": "http", "method": method, "path": path, "query_string": b"",
            "http_version": "1.1",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }  # fmt: skip
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.sleep(60)

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return Reply(sent)


def asking(check: Any, embedder: Any = None, **settings: Any) -> None:
    async def test() -> None:
        chosen = Settings(access_log=False, **settings)
        service = service_of(chosen, lambda choice, settings: embedder or FakeEmbedder())
        service.models.start()
        try:
            await check(Client(App(service)))
            assert service.body_bytes == 0
        finally:
            await service.models.stop()

    asyncio.run(test())


def test_every_route_except_the_probes_requires_a_token() -> None:
    async def check(client: Client) -> None:
        for route in client.app.routes:
            path = route.path.replace("{account}", "a").replace("{model:path}", "fake")
            for method in sorted(route.methods):
                reply = await client(method, path)
                probe = method != "POST" and path in ("/", "/health", "/ping", "/metrics")
                assert (reply.status in (400, 401)) != probe, (method, path)
        for method in ("POST", "PUT"):
            assert (await client(method, "/health")).status == 401
        bearer = {"authorization": "Bearer secret"}
        assert (await client("POST", "/embed", b'{"inputs": "a"}', **bearer)).status == 200

    asking(check, tokens=("secret",))


def test_each_path_has_the_errors_of_its_dialect() -> None:
    async def check(client: Client) -> None:
        tei = json.loads((await client("POST", "/embed", b"{")).body)
        assert set(tei) == {"error", "error_type"}
        for path in ("/v1/embeddings", "/client/v4/accounts/a/ai/v1/embeddings"):
            assert json.loads((await client("POST", path, b"{")).body)["error"]["type"]
        cloudflare = json.loads((await client("POST", RUN, b"{")).body)
        assert cloudflare["errors"][0]["code"] == 5006

    asking(check)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/embed", 405), ("DELETE", "/health", 405), ("POST", "/info", 405),
        ("GET", "/nowhere", 404), ("GET", "/embed/", 405), ("GET", "/nowhere/", 404),
        ("HEAD", "/health", 200), ("HEAD", "/embed", 405), ("GET", "/openapi.json", 200),
    ],
)  # fmt: skip
def test_routes_and_methods(method: str, path: str, status: int) -> None:
    async def check(client: Client) -> None:
        reply = await client(method, path)
        assert reply.status == status and reply.headers[b"x-request-id"]
        assert (b"allow" in reply.headers) == (status == 405)

    asking(check)


def test_a_timeout_closes_the_connection() -> None:
    embedder = FakeEmbedder()
    embedder.free.clear()

    async def check(client: Client) -> None:
        reply = await client("POST", "/embed", b'{"inputs": "a"}')
        assert reply.status == 408 and reply.headers[b"connection"] == b"close"
        assert b"no response within 0.05 seconds" in reply.body
        embedder.free.set()

    asking(check, embedder, request_timeout=0.05)


def test_an_internal_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async def check(client: Client) -> None:
        client.app.service.models.find = lambda name: 1 / 0  # type: ignore[method-assign]
        reply = await client("POST", RUN, b'{"text": "a"}')
        assert reply.status == 500 and b"ZeroDivision" not in reply.body
        assert b"Internal server error" in reply.body

    asking(check)
    assert "ZeroDivisionError" in caplog.text


def test_a_server_that_shuts_down_closes_its_connections() -> None:
    async def check(client: Client) -> None:
        assert b"connection" not in (await client("GET", "/health")).headers
        client.app.draining = True
        assert (await client("GET", "/health")).headers[b"connection"] == b"close"

    asking(check)
