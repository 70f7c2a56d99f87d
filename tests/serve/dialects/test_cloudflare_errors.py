"""The exact error bodies of the gateway and of Workers AI."""

import json

import pytest

from engine.serve.dialects.cloudflare_errors import GATEWAY, WORKERS_AI, describe, error_response
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Request

RUN = "/client/v4/accounts/a/ai/run/m"


def request(path: str = RUN) -> Request:
    scope = {"type": "http", "path": path, "method": "PATCH", "headers": [], "query_string": b""}
    return Request(scope, receive=None)


def test_every_kind_has_a_body() -> None:
    assert set(GATEWAY) | set(WORKERS_AI) == set(ErrorKind) and not set(GATEWAY) & set(WORKERS_AI)


@pytest.mark.parametrize("kind", ErrorKind)
def test_bodies_of_the_gateway_and_of_workers_ai(kind: ErrorKind) -> None:
    asked = request()
    response = error_response(HTTPError(kind, "the reason"), asked)
    body = json.loads(response.body)
    (error,) = body["errors"]
    assert (body["success"], body["messages"]) == (False, []) and response.status_code >= 400
    if kind in GATEWAY:
        assert body["result"] is None and "cf-ai-req-id" not in response.headers
    else:
        assert body["result"] == {} and error["message"].startswith("AiError: ")
        assert error["message"].endswith(f" ({asked.id})")
        assert response.headers["cf-ai-req-id"] == asked.id


@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [
        (ErrorKind.INVALID, 400, 5006, "AiError: why"),
        (ErrorKind.NOT_JSON, 400, 5006, "AiError: Bad input: Error: why"),
        (
            ErrorKind.OVERLOADED,
            429,
            3040,
            "AiError: Capacity temporarily exceeded, please try again.",
        ),
        (ErrorKind.BODY_TOO_LARGE, 413, 3006, "AiError: Request is too large: why"),
        (ErrorKind.BACKEND, 500, 500, "AiError: why"),
    ],
)
def test_workers_ai(kind: ErrorKind, status: int, code: int, message: str) -> None:
    assert describe(HTTPError(kind, "why")) == (status, {"code": code, "message": message})


def test_the_gateway() -> None:
    def error(kind: ErrorKind, path: str = RUN) -> tuple[int, dict[str, object]]:
        response = error_response(HTTPError(kind, "why"), request(path))
        return response.status_code, json.loads(response.body)["errors"][0]

    assert error(ErrorKind.WRONG_TOKEN) == (401, {"code": 10000, "message": "Authentication error"})
    assert error(ErrorKind.MALFORMED_TOKEN)[1]["error_chain"] == [
        {"code": 6111, "message": "Invalid format for Authorization header"}
    ]
    assert error(ErrorKind.NO_METHOD)[1]["message"] == "PATCH not supported for requested URI"
    assert error(ErrorKind.NO_ROUTE, "/client/v4/x") == (
        400, {"code": 7000, "message": "No route for that URI"},
    )  # fmt: skip
    status, entry = error(ErrorKind.NO_ROUTE, "/client/v4/accounts/" + "a" * 300)
    assert (status, entry["code"]) == (404, 7003) and len(str(entry["message"])) < 300
