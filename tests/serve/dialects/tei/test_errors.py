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
        (ErrorKind.NO_TOKEN, 401, "Unauthorized", "why"),
        (ErrorKind.MALFORMED_TOKEN, 401, "Unauthorized", "why"),
        (ErrorKind.WRONG_TOKEN, 401, "Unauthorized", "why"),
    ],
)
def test_status_type_and_words(kind: ErrorKind, status: int, type_: str, message: str) -> None:
    response = error_response(HTTPError(kind, "why"))
    assert response.status_code == status
    assert json.loads(response.body) == {"error": message, "error_type": type_}
