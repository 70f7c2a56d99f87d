"""HTTP/1.1 requires one valid Host header, on every route."""

import json
import re

import pytest

from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.host import check_host
from engine.serve.http.messages import Request
from tests.serve.serving import ended, shared_fake

RUN = b"/client/v4/accounts/a/ai/run/fake"


def refused(*hosts: bytes, version: str = "1.1") -> bool:
    headers = [(b"host", host) for host in hosts]
    scope = {"type": "http", "path": "/", "headers": headers, "http_version": version}
    try:
        check_host(Request(scope, None))
    except HTTPError as error:
        assert error.kind is ErrorKind.WRONG_HOST
        return True
    return False


@pytest.mark.parametrize(
    "host",
    [
        b"", b"x", b"a-b.example:8787", b"my_service", b"127.0.0.1:80", b"[::1]",
        b"[2001:db8::1]:80", b"[fe80::1%25eth0]", b"a.example.", b"a.example:", b"caf%C3%A9",
    ],
)  # fmt: skip
def test_valid(host: bytes) -> None:
    assert not refused(host) and refused(host, host)


@pytest.mark.parametrize(
    "host",
    [
        b"a b", b"a, b", b"a/b", b"http://a", b"user@a", b"a:b", b"a:80:80", b"::1", b"[::1", b"[]",
        b"a\xe9", b"a%2", b"a\tb", b"<a>", b"a?b", b"a#b", b"a\\b",
    ],
)  # fmt: skip
def test_malformed(host: bytes) -> None:
    assert refused(host) and refused(host, version="1.0")


def test_only_http_1_0_may_leave_it_out() -> None:
    assert refused() and not refused(version="1.0")
    assert refused(b"a", b"a", version="1.0")


@pytest.mark.parametrize("headers", [b"", b"host: a\r\nHost: a\r\n", b"host: a b\r\n"])
@pytest.mark.parametrize("path", [b"/health", b"/metrics", b"/embed", b"/v1/models", RUN, b"/api"])
def test_the_response_has_the_form_of_the_dialect(path: bytes, headers: bytes) -> None:
    with shared_fake().connect() as peer:
        peer.sendall(b"GET %b HTTP/1.1\r\n%bconnection: close\r\n\r\n" % (path, headers))
        head, _, body = ended(peer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"x-request-id" in head
    found = json.loads(body)
    message = found["errors"][0]["message"] if "errors" in found else found["error"]
    assert "Host header" in message


def test_the_next_request_on_the_connection_is_served() -> None:
    post = b"POST /embed HTTP/1.1\r\ncontent-length: 15\r\n%b\r\n" + b'{"inputs": "a"}'
    with shared_fake().connect() as peer:
        peer.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        peer.sendall(post % b"host: x\r\n" + post % b"connection: close\r\n")
        assert re.findall(rb"HTTP/1.1 (\d+)", ended(peer)) == [b"400", b"200", b"400"]


def test_http_1_0_is_served_without() -> None:
    with shared_fake().connect() as peer:
        peer.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert ended(peer).startswith(b"HTTP/1.1 200 ")
