"""Errors as text-embeddings-inference writes them."""

import json

import pytest

from engine.serve.dialects.tei.errors import error_response
from engine.serve.http.errors import ErrorKind, HTTPError


@pytest.mark.parametrize(
    ("kind", "status", "type_", "message"),
    [
        (ErrorKind.INVALID, 422, "Validation", "why"),
        (ErrorKind.EMPTY, 400, "Empty", "why"),
        (ErrorKind.TOO_LONG, 422, "Validation", "Input validation error: why"),
        (ErrorKind.OVERLOADED, 429, "Overloaded", "Model is overloaded"),
        (ErrorKind.BACKEND, 424, "Backend", "why"),
        (ErrorKind.NO_ROUTE, 404, "Validation", "why"),
    ],
)
def test_status_type_and_words(kind: ErrorKind, status: int, type_: str, message: str) -> None:
    response = error_response(HTTPError(kind, "why"))
    assert response.status_code == status
    assert json.loads(response.body) == {"error": message, "error_type": type_}


@pytest.mark.parametrize(
    "kind", [ErrorKind.NO_TOKEN, ErrorKind.MALFORMED_TOKEN, ErrorKind.WRONG_TOKEN]
)
def test_a_missing_or_wrong_token_is_an_empty_401(kind: ErrorKind) -> None:
    response = error_response(HTTPError(kind, "why"))
    assert (response.status_code, response.body) == (401, b"")
