"""The connection, guarded against clients that are slow on purpose.

uvicorn closes idle connections; here also those that never finish a request or never take an
answer, and headers without end. The body's own time limit is `Call.body`'s.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 65_536
REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
TOO_SLOW = REFUSAL % b"408 Request Timeout"
TOO_MUCH = REFUSAL % b"431 Request Header Fields Too Large"


class GuardedProtocol(HttpToolsProtocol):
    """`read_timeout` seconds for a whole request to come in, and as many for an answer to go."""

    read_timeout = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_headers, self._in_message = True, True
        self._header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._in_message = True, True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._hang_up(TOO_MUCH)
        if not self._in_message:
            self._disarm()
        elif self._timer is None:
            self._arm()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._arm()  # closing waits for the client to take what was sent

    def _arm(self) -> None:
        self._disarm()
        self._timer = self.loop.call_later(self.read_timeout, self._time_is_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            self.transport.abort()
        elif self._in_headers:
            self._hang_up(TOO_SLOW)
        elif self.cycle.response_complete:  # answered already, and still sending
            self.transport.close()

    def _hang_up(self, message: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(message)
            self.transport.close()


def guarded(read_timeout: float) -> type[GuardedProtocol]:
    """The protocol with that limit."""
    fields: dict[str, Any] = {"read_timeout": read_timeout}
    return type("Guarded", (GuardedProtocol,), fields)
