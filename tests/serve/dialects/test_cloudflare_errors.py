"""The gateway's bodies and those of Workers AI, to the letter."""

import json

import pytest

from engine.serve.dialects.cloudflare_errors import GATEWAY, WORKERS_AI, describe, refusal
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Call

RUN = "/client/v4/accounts/a/ai/run/m"


def call(path: str = RUN) -> Call:
    return Call({"path": path, "method": "PATCH", "headers": [], "query_string": b""})


def test_every_kind_has_a_body() -> None:
    assert set(GATEWAY) | set(WORKERS_AI) == set(Kind) and not set(GATEWAY) & set(WORKERS_AI)


@pytest.mark.parametrize("kind", Kind)
def test_two_layers_two_shapes(kind: Kind) -> None:
    asked = call()
    answer = refusal(Problem(kind, "the reason"), asked)
    body = json.loads(answer.body)
    (error,) = body["errors"]
    assert (body["success"], body["messages"]) == (False, []) and answer.status >= 400
    if kind in GATEWAY:
        assert body["result"] is None and answer.headers == []
    else:
        assert body["result"] == {} and error["message"].startswith("AiError: ")
        assert error["message"].endswith(f" ({asked.id})")
        assert answer.headers == [(b"cf-ai-req-id", asked.id.encode())]


@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [
        (Kind.INVALID, 400, 5006, "AiError: why"),
        (Kind.NOT_JSON, 400, 5006, "AiError: Bad input: Error: why"),
        (Kind.OVERLOADED, 429, 3040, "AiError: Capacity temporarily exceeded, please try again."),
        (Kind.BODY_TOO_LARGE, 413, 3006, "AiError: Request is too large: why"),
        (Kind.BACKEND, 500, 500, "AiError: why"),
    ],
)
def test_workers_ai(kind: Kind, status: int, code: int, message: str) -> None:
    assert describe(Problem(kind, "why")) == (status, {"code": code, "message": message})


def test_the_gateway() -> None:
    def error(kind: Kind, path: str = RUN) -> tuple[int, dict[str, object]]:
        answer = refusal(Problem(kind, "why"), call(path))
        return answer.status, json.loads(answer.body)["errors"][0]

    assert error(Kind.WRONG_TOKEN) == (401, {"code": 10000, "message": "Authentication error"})
    assert error(Kind.MALFORMED_TOKEN)[1]["error_chain"] == [
        {"code": 6111, "message": "Invalid format for Authorization header"}
    ]
    assert error(Kind.NO_METHOD)[1]["message"] == "PATCH not supported for requested URI"
    assert error(Kind.NO_ROUTE, "/client/v4/x") == (
        400, {"code": 7000, "message": "No route for that URI"},
    )  # fmt: skip
    status, told = error(Kind.NO_ROUTE, "/client/v4/accounts/" + "a" * 300)
    assert (status, told["code"]) == (404, 7003) and len(str(told["message"])) < 300
