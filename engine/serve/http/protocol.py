"""The connection, guarded against clients that are slow on purpose, and against too many.

uvicorn closes idle connections; here also those that never finish a request or never take an
answer, and headers without end. The body's own time limit is `Call.body`'s. An answer leaves in
one piece. And what can be answered by its head alone is, without a task.
"""

import asyncio
from typing import Any, Protocol, cast
from urllib.parse import unquote

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from engine.serve.http.messages import Answer, Scope

MAX_HEADER_BYTES = 65_536
REFUSAL = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 "  # no body is written after it
TOO_SLOW = REFUSAL % b"408 Request Timeout"
TOO_MUCH = REFUSAL % b"431 Request Header Fields Too Large"


class Door(Protocol):
    """Where a full server turns requests away."""

    @property
    def full(self) -> bool:
        """Whether it is worth asking."""

    def at_the_door(self, scope: Scope) -> Answer | None:
        """The answer to a request of which only the head is there, or None: let it in."""


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

    def flush(self) -> None:
        """Sends a head that no body follows: the answer to HEAD."""
        if self._head:
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GuardedProtocol(HttpToolsProtocol):
    """`read_timeout` seconds for a request to come in, and as many for the next of an answer to
    be taken."""

    read_timeout: float
    door: Door

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Whole(transport))  # type: ignore[arg-type]
        self._in_headers, self._in_message = True, True
        self._header_bytes = 0
        self._answers = 0
        self._turned_away = False  # this request is answered; its body is read past
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
        answer = self._ask_at_the_door() if self.door.full and self._is_plain() else None
        self._turned_away = answer is not None
        if answer is None:
            super().on_headers_complete()
        else:
            self._write(answer)

    def on_body(self, body: bytes) -> None:
        if not self._turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        if self._answered_early():
            self._wait_for_the_next()
        else:
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
        cast(Whole, self.transport).flush()
        super().on_response_complete()
        self._answer_given()

    def _is_plain(self) -> bool:
        """Whether nothing but the request itself matters for how it can be answered: no earlier
        one that is not answered yet, no client that waits for a sign or has not read its answers,
        no connection that ends with this."""
        return (
            (self.cycle is None or self.cycle.response_complete)
            and not self.expect_100_continue
            and not self.flow.write_paused
            and self.parser.should_keep_alive()
            and self.parser.get_http_version() == "1.1"
            and self.url.isascii()
        )

    def _ask_at_the_door(self) -> Answer | None:
        scope = cast(Scope, self.scope)
        path, _, scope["query_string"] = self.url.partition(b"?")
        scope["path"] = unquote(path.decode())
        scope["method"] = self.parser.get_method().decode()
        return self.door.at_the_door(scope)

    def _write(self, answer: Answer) -> None:
        headers = [*self.server_state.default_headers, *answer.head()]
        head = b"".join([b"%b: %b\r\n" % header for header in headers])
        self.transport.writelines([STATUS_LINE[answer.status], head, b"\r\n", answer.body])
        self._answer_given()

    def _answer_given(self) -> None:
        self._answers += 1
        self._watch_writing()

    def _answered_early(self) -> bool:
        """Before all of the request was there."""
        return self._turned_away or self.cycle.response_complete

    def _wait_for_the_next(self) -> None:
        """Closes the connection if nothing comes; uvicorn forgets it after an early answer."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

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
        elif self._answered_early():  # long ago, and still it sends
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


def guarded(read_timeout: float, door: Door) -> type[GuardedProtocol]:
    """The protocol with that limit, and that door."""
    fields: dict[str, Any] = {"read_timeout": read_timeout, "door": door}
    return type("Guarded", (GuardedProtocol,), fields)
