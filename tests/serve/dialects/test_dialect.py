"""A new dialect is one class and one line: the application needs nothing else."""

from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response

from engine.serve import app
from engine.serve.dialects import DIALECTS, Dialect
from engine.serve.http.errors import HTTPError
from engine.serve.http.messages import Handler, Request
from engine.serve.server import service_of
from engine.serve.settings import ModelChoice, Settings
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.test_app import Client, asking


class Shout(Dialect):
    name = "shout"

    def owns(self, path: str) -> bool:
        return path.startswith("/shout/")

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", "/shout/{model:path}", self.shout)]

    async def shout(self, request: Request) -> Response:
        served = self.service.models.find(request.path_params["model"])
        return PlainTextResponse(served.names[0].upper())

    def error_response(self, error: HTTPError, request: Request) -> Response:
        return PlainTextResponse(error.message.upper(), 418)

    def openapi_paths(self) -> dict[str, Any]:
        return {"/shout/{model}": {"post": {"operationId": "shout"}}}


def test_the_application_uses_every_dialect_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "DIALECTS", (Shout, *DIALECTS))

    async def check(client: Client) -> None:
        assert (await client("POST", "/shout/fake")).body == b"FAKE"
        error = await client("POST", "/shout/nothing")
        assert error.status == 418 and error.body.startswith(b"NO SUCH MODEL NOTHING")
        assert b'"operationId":"shout"' in (await client("GET", "/openapi.json")).body

    asking(check)


def test_each_path_belongs_to_one_dialect() -> None:
    owners = {
        "/v1/embeddings": "openai",
        "/client/v4/accounts/a/ai/v1/models": "openai",
        "/client/v4/accounts/a/ai/run/m": "cloudflare",
        "/client/v4/nowhere": "cloudflare",
        "/embeddings": "openai",
        "/models/a/b": "openai",
        "/openai/deployments/a/embeddings": "openai",
        "/api/embed": "ollama",
        "/embed": "tei",
        "/": "tei",
        "/nowhere": "tei",
    }
    service = service_of(Settings(model=(ModelChoice("fake"),)), lambda *_: FakeEmbedder())
    dialects = [make(service) for make in DIALECTS]
    for path, name in owners.items():
        assert next(one for one in dialects if one.owns(path)).name == name
    assert len({one.name for one in dialects}) == len(DIALECTS)
