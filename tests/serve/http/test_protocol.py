"""The head of an answer waits for its body, on a transport of the test's."""

from typing import Any

import pytest

from engine.serve.http.protocol import MAX_HEADER_BYTES, GuardedProtocol, Whole, guarded
from tests.serve.serving import ended, shared_fake


class Transport:
    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.packets.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.packets.append(b"".join(parts))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@pytest.fixture
def transport() -> Transport:
    return Transport()


def whole(transport: Any) -> Whole:
    return Whole(transport)


def test_head_and_body_leave_together(transport: Transport) -> None:
    one = whole(transport)
    one.write(b"HTTP/1.1 200 OK\r\n\r\n")
    assert transport.packets == []
    one.write(b"body")
    one.write(b"more")
    assert transport.packets == [b"HTTP/1.1 200 OK\r\n\r\nbody", b"more"]


def test_a_head_alone_leaves_by_flush_or_close(transport: Transport) -> None:
    one = whole(transport)
    one.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    one.flush()
    one.flush()
    assert transport.packets == [b"HTTP/1.1 204 No Content\r\n\r\n"]
    one.write(b"HTTP/1.1 200 OK\r\n\r\n")
    one.close()
    assert transport.packets[1:] == [b"HTTP/1.1 200 OK\r\n\r\n"] and transport.closed


def test_a_sign_to_go_on_does_not_wait(transport: Transport) -> None:
    one = whole(transport)
    one.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert transport.packets == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    assert one.is_closing() is False  # everything else is the transport's own


def test_each_server_has_a_protocol_with_its_limits() -> None:
    door: Any = object()
    made = guarded(2.5, door)
    assert issubclass(made, GuardedProtocol)
    assert (made.read_timeout, made.door) == (2.5, door)
    assert guarded(3.0, door).read_timeout == 3.0 and made.read_timeout == 2.5


@pytest.mark.parametrize(("size", "status"), [(-500, b"200 OK"), (1, b"431 Request Header")])
def test_headers_have_a_limit(size: int, status: bytes) -> None:
    with shared_fake().connect() as peer:
        start = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-long: "
        peer.sendall(start + b"x" * (MAX_HEADER_BYTES + size - len(start)))
        if size < 0:
            peer.sendall(b"\r\n\r\n")
        assert ended(peer).startswith(b"HTTP/1.1 " + status)
