"""Errors of the library become HTTP errors, in every dialect."""

import math

import pytest

from engine import errors
from engine.serve.http.errors import RETRY_AFTER, ErrorKind, HTTPError, http_error_of
from tests.serve.serving import shared_fake

NAN = "w" * 777  # the fake model has no finite vector of it
V1 = "/v1/embeddings"
RUN = "/client/v4/accounts/acc/ai/run/fake"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.TooLong("600 tokens"), ErrorKind.TOO_LONG),
        (errors.InputError("no string"), ErrorKind.INVALID),
        (errors.Overloaded("full"), ErrorKind.OVERLOADED),
        (errors.ModelNotFound("no model"), ErrorKind.NO_MODEL),
        (errors.NotFinite("text 3", [3]), ErrorKind.BACKEND),
    ],
)
def test_errors_of_the_library_keep_their_messages(error: Exception, kind: ErrorKind) -> None:
    error = http_error_of(error)
    assert (error.kind, error.message) == (kind, str(error))


@pytest.mark.parametrize("error", [ValueError("secret"), errors.CheckpointError("secret")])
def test_other_errors_are_not_shown_to_clients(error: Exception) -> None:
    error = http_error_of(error)
    assert error.kind is ErrorKind.INTERNAL and "secret" not in error.message


def test_an_http_error_is_returned_unchanged() -> None:
    error = HTTPError(ErrorKind.EMPTY, "nothing", param="input")
    assert http_error_of(error) is error
    assert (error.param, error.retry_after, error.allow) == ("input", None, None)


def test_only_an_overload_has_retry_after() -> None:
    assert HTTPError(ErrorKind.OVERLOADED, "full").retry_after == RETRY_AFTER
    assert HTTPError(ErrorKind.OVERLOADED, "full", retry_after=2).retry_after == 2
    assert HTTPError(ErrorKind.TIMEOUT, "late").retry_after is None


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/embed", {"inputs": ["a", NAN]}, 424),  # as text-embeddings-inference says it
        ("/embed_all", {"inputs": ["a", NAN]}, 424),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": [NAN]}}, 424),
        (V1, {"model": "fake", "input": ["a", NAN]}, 500),
        (V1, {"model": "fake", "input": ["a", NAN], "encoding_format": "base64"}, 500),
        (RUN, {"text": ["a", NAN]}, 500),
        (RUN, {"requests": [{"text": "a"}, {"text": NAN}]}, 500),
    ],
)
def test_a_vector_that_is_not_finite_is_an_error(
    path: str, body: dict[str, object], status: int
) -> None:
    server = shared_fake()
    reply = server.ask(path, body)
    assert reply.status == status
    assert b"text 1 of this request is not finite" in reply.body and b"null, null" not in reply.body
    again = server.ask("/embed", {"inputs": "a"})
    assert again.status == 200 and all(map(math.isfinite, again.json[0]))
