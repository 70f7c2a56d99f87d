"""Who is let in, by which header, and where without one."""

import pytest

from engine.serve.http.auth import OPEN, Gatekeeper
from engine.serve.http.errors import Kind, Problem

TOKENS = ("first", "second")


def refused(method: str, path: str, **headers: str) -> Kind | None:
    found = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    try:
        Gatekeeper(TOKENS).check(method, path, found)
    except Problem as problem:
        return problem.kind
    return None


@pytest.mark.parametrize("path", sorted(OPEN))
def test_probes_need_no_token_but_only_to_read(path: str) -> None:
    for method in ("GET", "HEAD"):
        assert refused(method, path) is None
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        assert refused(method, path) is Kind.NO_TOKEN


@pytest.mark.parametrize("path", ["/embed", "/health/", "/metrics/x", "//", "", "/info"])
def test_every_other_path_needs_one(path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        assert refused(method, path) is Kind.NO_TOKEN


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"authorization": "Bearer first"}, None),
        ({"authorization": "bearer second"}, None),
        ({"authorization": "Bearer  second "}, None),
        ({"authorization": "Bearer third"}, Kind.WRONG_TOKEN),
        ({"authorization": "Bearer FIRST"}, Kind.WRONG_TOKEN),
        ({"authorization": "Bearer firs"}, Kind.WRONG_TOKEN),
        ({"authorization": "Bearer first second"}, Kind.WRONG_TOKEN),
        ({"authorization": "Bearer "}, Kind.MALFORMED_TOKEN),
        ({"authorization": "Basic first"}, Kind.MALFORMED_TOKEN),
        ({"authorization": "first"}, Kind.MALFORMED_TOKEN),
        ({"authorization": ""}, Kind.MALFORMED_TOKEN),
        ({"x_auth_key": "first"}, None),
        ({"x_auth_user_service_key": "second"}, None),
        ({"x_auth_key": "third"}, Kind.WRONG_TOKEN),
        ({"authorization": "Bearer third", "x_auth_key": "first"}, Kind.WRONG_TOKEN),
        ({"x_api_key": "first"}, Kind.NO_TOKEN),
    ],
)
def test_headers(headers: dict[str, str], kind: Kind | None) -> None:
    assert refused("POST", "/embed", **headers) is kind


def test_without_tokens_everyone_is_let_in() -> None:
    Gatekeeper([]).check("POST", "/embed", {})


def test_tokens_are_not_kept() -> None:
    assert b"first" not in repr(vars(Gatekeeper(TOKENS))).encode()
