"""Which tokens, headers and paths are accepted."""

import pytest

from engine.serve.http.auth import OPEN, Authenticator
from engine.serve.http.errors import ErrorKind, HTTPError

TOKENS = ("first", "second")


def refused(method: str, path: str, **headers: str) -> ErrorKind | None:
    found = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        Authenticator(TOKENS).check(method, path, found)
    except HTTPError as error:
        return error.kind
    return None


@pytest.mark.parametrize("path", sorted(OPEN))
def test_probes_need_no_token_for_get_and_head(path: str) -> None:
    for method in ("GET", "HEAD"):
        assert refused(method, path) is None
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        assert refused(method, path) is ErrorKind.NO_TOKEN


@pytest.mark.parametrize("path", ["/embed", "/health/", "/metrics/x", "//", "", "/info"])
def test_every_other_path_needs_a_token(path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        assert refused(method, path) is ErrorKind.NO_TOKEN


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"authorization": "Bearer first"}, None),
        ({"authorization": "bearer second"}, None),
        ({"authorization": "Bearer  second "}, None),
        ({"authorization": "Bearer third"}, ErrorKind.WRONG_TOKEN),
        ({"authorization": "Bearer FIRST"}, ErrorKind.WRONG_TOKEN),
        ({"authorization": "Bearer firs"}, ErrorKind.WRONG_TOKEN),
        ({"authorization": "Bearer first second"}, ErrorKind.WRONG_TOKEN),
        ({"authorization": "Bearer "}, ErrorKind.MALFORMED_TOKEN),
        ({"authorization": "Basic first"}, ErrorKind.MALFORMED_TOKEN),
        ({"authorization": "first"}, ErrorKind.MALFORMED_TOKEN),
        ({"authorization": ""}, ErrorKind.MALFORMED_TOKEN),
        ({"x_auth_key": "first"}, None),
        ({"x_auth_user_service_key": "second"}, None),
        ({"x_auth_key": "third"}, ErrorKind.WRONG_TOKEN),
        ({"authorization": "Bearer third", "x_auth_key": "first"}, ErrorKind.WRONG_TOKEN),
        ({"api_key": "first"}, None),
        ({"api_key": "third"}, ErrorKind.WRONG_TOKEN),
        ({"x_api_key": "first"}, ErrorKind.NO_TOKEN),
    ],
)
def test_headers(headers: dict[str, str], kind: ErrorKind | None) -> None:
    assert refused("POST", "/embed", **headers) is kind


def test_without_tokens_every_request_is_accepted() -> None:
    Authenticator([]).check("POST", "/embed", {})


def test_tokens_are_stored_as_digests_only() -> None:
    assert b"first" not in repr(vars(Authenticator(TOKENS))).encode()
