"""The limits of a connection that uvicorn has no options for; the others are in test_patience."""

import pytest

from engine.serve.http.protocol import MAX_HEADER_BYTES, LimitedProtocol, limited_protocol
from tests.serve.serving import ended, shared_fake


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
