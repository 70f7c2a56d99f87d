"""The connection, guarded against clients that are slow on purpose.

uvicorn closes idle connections; here also those that never finish a request or never take an
answer, and headers without end. The body's own time limit is `Call.body`'s. And an answer leaves
in one piece.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 65_536
REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 "  # the only head that no body follows
TOO_SLOW = REFUSAL % b"408 Request Timeout"
TOO_MUCH = REFUSAL % b"431 Request Header Fields Too Large"


class Whole:
    """A transport on which the head of an answer waits for its body: one packet and one wake-up of
    the client instead of two. uvicorn writes them one right after the other."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines([head, data])
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(CONTINUE):
            self._head = data
        else:
            self._transport.write(data)

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GuardedProtocol(HttpToolsProtocol):
    """`read_timeout` seconds for a request to come in, and as many for the next of an answer to
    be taken."""

    read_timeout = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Whole(transport))  # type: ignore[arg-type]
        self._in_headers, self._in_message = True, True
        self._header_bytes = 0
        self._answers = 0
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._watch_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_reading()
        if self._writing is not None:
            self._writing.cancel()
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
            self._stop_reading()
        elif self._reading is None:
            self._watch_reading()

    def on_response_complete(self) -> None:
        self._answers += 1
        super().on_response_complete()
        self._watch_writing()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def _watch_reading(self) -> None:
        self._reading = self.loop.call_later(self.read_timeout, self._read_too_slowly)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _read_too_slowly(self) -> None:
        self._reading = None
        if self._in_headers:
            self._hang_up(TOO_SLOW)
        elif self.cycle.response_complete:  # refused long ago, and still sending
            self.transport.close()

    def _hang_up(self, message: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(message)
            self.transport.close()

    def _watch_writing(self) -> None:
        """At most one timer at a time, whatever the number of answers."""
        if self._writing is None:
            seen = self._answers, self.transport.get_write_buffer_size()
            self._writing = self.loop.call_later(self.read_timeout, self._check_writing, *seen)

    def _check_writing(self, answers: int, unsent: int) -> None:
        self._writing = None
        now = self.transport.get_write_buffer_size()
        if now and self._answers == answers and now >= unsent:
            self.transport.abort()
        elif now:
            self._watch_writing()


def guarded(read_timeout: float) -> type[GuardedProtocol]:
    """The protocol with that limit."""
    fields: dict[str, Any] = {"read_timeout": read_timeout}
    return type("Guarded", (GuardedProtocol,), fields)
