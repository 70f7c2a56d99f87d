"""uvicorn's HTTP protocol, with the limits on slow clients that uvicorn has no options for.

A client that never finishes its request head, sends headers without end, or does not read its
responses would otherwise keep its connection and memory for ever. (The body has a time limit in
`Request.read_body`; idle connections have uvicorn's keep-alive timeout.)

`HttpToolsProtocol` is not public API of uvicorn. pyproject.toml therefore bounds the version, and
tests/serve/test_patience.py checks each limit on a real connection.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.serve.http.proxies import Proxies

MAX_HEADER_BYTES = 65_536
NO_PROXIES = Proxies(())
PROBES = (b"/health", b"/ping", b"/metrics")
ERROR = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """`read_timeout`: seconds in which a request head must arrive, and in which the client must
    read a part of a response that is waiting to be sent. `most`: connections of one address, unless
    it is a trusted proxy's or there is none, as on a Unix socket; `clients`: how many each has."""

    read_timeout: float
    most: float
    clients: Counter[str]
    proxies: Proxies

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit = self.limit_concurrency
        self._address = self.client[0] if self.client else ""
        self.clients[self._address] += 1
        transport.set_write_buffer_limits(0)  # `pause_writing` as soon as a byte has to wait
        self._head_bytes = self._unsent = 0
        self._write_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = self._start_timer(self._head_timeout)
        one_client = self._address and not self.proxies.trusts(self._address)
        if one_client and self.clients[self._address] > self.most:
            self._close(b"429 Too Many Requests")

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self.clients[self._address] -= 1
        if not self.clients[self._address]:
            del self.clients[self._address]
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._head_timer = self._start_timer(self._head_timeout)

    def on_headers_complete(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        # Probes get responses when there are too many connections for all else.
        self.limit_concurrency = None if self.url.partition(b"?")[0] in PROBES else self._limit
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEADER_BYTES:
                self._close(b"431 Request Header Fields Too Large")

    def pause_writing(self) -> None:
        """Called by the event loop when the client does not read as fast as we write."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _watch_writing(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._write_timer = self._start_timer(self._check_writing)

    def _check_writing(self) -> None:
        if self.transport.get_write_buffer_size() >= self._unsent:
            self.transport.abort()
        else:
            self._watch_writing()

    def _start_timer(self, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(self.read_timeout, callback)

    def _head_timeout(self) -> None:
        self._close(b"408 Request Timeout")

    def _close(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(ERROR % status)
            self.transport.close()


def limited_protocol(
    read_timeout: float, most: float = math.inf, proxies: Proxies = NO_PROXIES
) -> type[LimitedProtocol]:
    """The protocol class with these limits."""
    limits = {"read_timeout": read_timeout, "most": most, "clients": Counter(), "proxies": proxies}
    return type("LimitedProtocol", (LimitedProtocol,), limits)
