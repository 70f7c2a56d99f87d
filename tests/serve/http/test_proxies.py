"""The client behind a proxy that is trusted, and that nobody else can say who they are."""

import contextlib
import socket
import time

import pytest

from engine.serve.http.proxies import Proxies
from tests.serve.serving import Server, ended, fake_server

PROXIES = Proxies(("10.0.0.0/8", "192.0.2.7", "2001:db8::/32"))


def client(peer: str, *forwarded: str, proxies: Proxies = PROXIES) -> str:
    scope = {
        "client": (peer, 4711) if peer else None,
        "headers": [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded],
    }
    found = proxies.client(scope)
    return found[0] if found else ""


@pytest.mark.parametrize("peer", ["10.1.2.3", "192.0.2.7", "2001:db8::5", "::ffff:10.1.2.3"])
def test_a_trusted_proxy_names_the_client(peer: str) -> None:
    assert client(peer, "203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize("peer", ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::ffff:11.0.0.1", ""])
def test_nobody_else_does(peer: str) -> None:
    assert client(peer, "203.0.113.9") == peer


def test_without_proxies_nobody_does() -> None:
    for peer in ("127.0.0.1", "::1", ""):
        assert client(peer, "203.0.113.9", proxies=Proxies(())) == peer


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        (["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # the client wrote the first itself
        (["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["198.51.100.1, 203.0.113.9, 10.0.0.2, 192.0.2.7"], "203.0.113.9"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # the client is a proxy too
        (["203.0.113.9:4711"], "203.0.113.9"),
        (["2a00::1"], "2a00::1"),
        (["[2a00::1]:4711"], "2a00::1"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9, unknown"], "10.1.2.3"),
        (["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        (["<script>"], "10.1.2.3"),
        (["\xff, ,"], "10.1.2.3"),
        ([""], "10.1.2.3"),
        ([], "10.1.2.3"),
    ],
)
def test_the_last_address_that_is_no_proxy_is_the_client(forwarded: list[str], found: str) -> None:
    assert client("10.1.2.3", *forwarded) == found


def test_a_proxy_on_the_unix_socket() -> None:
    unix = Proxies(("unix",))
    assert client("", "203.0.113.9", proxies=unix) == "203.0.113.9"
    assert client("", proxies=unix) == ""
    assert client("127.0.0.1", "203.0.113.9", proxies=unix) == "127.0.0.1"


def test_words_that_name_no_proxy_are_refused() -> None:
    for word in ("*", "localhost", "10.0.0.1/8", "10.0.0.0/33", ""):
        with pytest.raises(ValueError):
            Proxies([word])


def logged(server: Server, source: str, id_: bytes) -> str:
    """The client in the log of a request from this loopback address."""
    with socket.create_connection(("127.0.0.1", server.port), 5, (source, 0)) as peer:
        headers = b"host: x\r\nx-forwarded-for: 203.0.113.9\r\nconnection: close\r\n"
        peer.sendall(b"GET /info HTTP/1.1\r\n%bx-request-id: %b\r\n\r\n" % (headers, id_))
        assert ended(peer).startswith(b"HTTP/1.1 200 ")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for line in [*server.log]:
            if line.get("id") == id_.decode():
                return str(line["client"])
        time.sleep(0.01)
    raise AssertionError("the request is not in the log")


@pytest.mark.slow
def test_the_log_and_the_limit_of_connections() -> None:
    options = ("--max-connections", "8", "--trusted-proxies", "127.0.0.2 10.0.0.0/8")
    with fake_server(*options) as server, contextlib.ExitStack() as idle:
        assert logged(server, "127.0.0.1", b"a") == "127.0.0.1"
        assert logged(server, "127.0.0.2", b"b") == "203.0.113.9"
        for _ in range(7):  # one address may have six
            peer = socket.create_connection(("127.0.0.1", server.port), 5, ("127.0.0.2", 0))
            idle.enter_context(peer)
            peer.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert peer.recv(1000).startswith(b"HTTP/1.1 200 ")
