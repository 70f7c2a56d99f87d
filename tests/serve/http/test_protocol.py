"""The limits of a connection that uvicorn has no options for; the others are in test_patience."""

import contextlib
import socket
import time

import pytest

from engine.serve.http.protocol import MAX_HEADER_BYTES, LimitedProtocol, limited_protocol
from tests.serve.serving import ended, fake_server, shared_fake


def test_each_server_has_a_protocol_with_its_own_limit() -> None:
    first, second = limited_protocol(2.5), limited_protocol(3.0)
    assert issubclass(first, LimitedProtocol)
    assert (first.read_timeout, second.read_timeout) == (2.5, 3.0)


@pytest.mark.parametrize(("size", "status"), [(-500, b"200 OK"), (1, b"431 Request Header")])
def test_headers_have_a_limit(size: int, status: bytes) -> None:
    with shared_fake().connect() as peer:
        start = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: "
        peer.sendall(start + b"x" * (MAX_HEADER_BYTES + size - len(start)))
        if size < 0:
            peer.sendall(b"\r\n\r\n")
        assert ended(peer).startswith(b"HTTP/1.1 " + status)


def asked(source: str, port: int, path: bytes) -> bytes:
    """The response of a request that comes from this loopback address."""
    with socket.create_connection(("127.0.0.1", port), 5, (source, 0)) as peer:
        peer.sendall(b"GET %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % path)
        return ended(peer)


@pytest.mark.slow
def test_one_address_cannot_take_all_connections_and_probes_are_always_answered() -> None:
    with fake_server("--max-connections", "8") as server, contextlib.ExitStack() as idle:

        def wait(source: str, count: int) -> None:
            for _ in range(count):
                peer = socket.create_connection(("127.0.0.1", server.port), 5, (source, 0))
                idle.enter_context(peer)

        wait("127.0.0.1", 6)
        assert asked("127.0.0.2", server.port, b"/info").startswith(b"HTTP/1.1 200 ")
        seventh = socket.create_connection(("127.0.0.1", server.port), 5)
        with seventh:
            assert ended(seventh).startswith(b"HTTP/1.1 429 ")
        wait("127.0.0.2", 2)  # of no address too many, but of all
        assert asked("127.0.0.3", server.port, b"/info").startswith(b"HTTP/1.1 503 ")
        for path in (b"/health", b"/ping", b"/metrics?x=1"):
            assert asked("127.0.0.3", server.port, path).startswith(b"HTTP/1.1 200 ")
        idle.close()
        deadline = time.monotonic() + 5
        while not asked("127.0.0.1", server.port, b"/info").startswith(b"HTTP/1.1 200 "):
            assert time.monotonic() < deadline
