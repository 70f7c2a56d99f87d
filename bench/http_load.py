"""A small HTTP load generator for a server on this machine. Requests and time are limited.

It takes about 60 microseconds of CPU time per request, so it hardly slows down the server.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"  # a fixed value, so that no other machine can be loaded
TICK_S = 0.01  # of `Load.open`: one wake-up disturbs the server more than one request does


@dataclass
class Outcome:
    """The results of a load: latencies and times of the responses by status, bodies, counts."""

    seconds: dict[int, list[float]] = field(default_factory=dict)  # latency of each response
    responded: dict[int, list[float]] = field(default_factory=dict)  # seconds since the start
    bodies: dict[int, bytes] = field(default_factory=dict)  # of responses 200, by request number
    sent: int = 0
    lost: int = 0  # requests whose connection was closed before the response
    unsent: int = 0  # requests that were due while every connection waited for a response
    elapsed: float = 0.0  # seconds
    cpu: float = 0.0  # CPU seconds of this process

    def add(self, other: "Outcome") -> None:
        """Adds another round of the same load, without its response times and bodies."""
        for status, times in other.seconds.items():
            self.seconds.setdefault(status, []).extend(times)
        for name in ("sent", "lost", "unsent", "elapsed", "cpu"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def count(self, status: int) -> int:
        return len(self.seconds.get(status, ()))

    def rate(self, status: int, since: float, until: float) -> float:
        """Responses per second with that status, between two times (seconds since the start)."""
        times = self.responded.get(status, ())
        return sum(since <= at < until for at in times) / (until - since)

    def quantile(self, status: int, part: float) -> float:
        """The quantile `part` (0 to 1) of the latencies with that status; NaN if there is none."""
        ordered = sorted(self.seconds.get(status, ()))
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def post(path: str, body: bytes) -> bytes:
    """The bytes of an HTTP POST request."""
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """A connection to the server. It sends one request at a time.

    on_response(connection, status, response): is called after each request. on_close(connection):
    is called when the connection is closed.
    """

    def __init__(
        self,
        on_response: Callable[["Connection", int, bytes], None],
        on_close: Callable[["Connection"], None],
    ) -> None:
        self._on_response, self._on_close = on_response, on_close
        self._buffer = b""
        self._wanted = 0
        self.busy = self.closing = False
        self.sent_at, self.number = 0.0, 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, number: int, request: bytes) -> None:
        self.busy, self.number, self.sent_at = True, number, time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._wanted:
            head, found, _ = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            _, _, rest = head.lower().partition(b"content-length: ")
            self._wanted = len(head) + 4 + int(rest.partition(b"\r\n")[0])
            self.closing = b"connection: close" in head.lower()
        if len(self._buffer) < self._wanted:
            return
        whole, self._buffer, self._wanted = self._buffer, b"", 0
        self.busy = False
        self._on_response(self, int(whole[9:12]), whole)

    def connection_lost(self, error: Exception | None) -> None:
        self._on_close(self)


class Load:
    """Sends the requests `make(0)`, `make(1)`, ... over several connections to one local port.

    keep: whether to keep the bodies of responses with status 200.
    """

    def __init__(
        self, port: int, connections: int, make: Callable[[int], bytes], *, keep: bool = False
    ) -> None:
        self._port, self._connections, self._make, self._keep = port, connections, make, keep
        self._all: list[Connection] = []
        self.outcome = Outcome()

    async def closed(self, count: int, seconds: float) -> Outcome:
        """A closed loop: each connection sends its next request after the response.

        Sends at most `count` requests. Raises TimeoutError after `seconds`.
        """
        self._numbers = iter(range(count))
        self._ended = asyncio.get_running_loop().create_future()
        await self._connect(self._after_response)
        self._begin()
        for each in self._all:
            self._send_next(each)
        async with asyncio.timeout(seconds):
            await self._ended
        return self._close(time.perf_counter() - self._began)

    async def open(self, rate: float, seconds: float, patience: float) -> Outcome:
        """An open loop: sends `rate` requests per second, whether or not responses arrive.

        seconds: how long requests are sent. patience: seconds to wait for the last responses.
        Requests are sent and responses read once per `TICK_S`.
        """
        # Connections are used in turn, so that the server closes none for being idle.
        self._idle: deque[Connection] = deque()
        await self._connect(lambda each: self._idle.append(each))
        self._idle.extend(self._all)
        self._begin()
        due = 0
        while (now := time.perf_counter() - self._began) < seconds:
            while due < now * rate:
                due += 1
                if self._idle:
                    self._send(self._idle.popleft(), due)
                else:
                    self.outcome.unsent += 1
            time.sleep(TICK_S)
            await asyncio.sleep(0)
        await self._until_quiet(patience)
        self.outcome.lost += sum(each.busy for each in self._all)
        return self._close(seconds)

    def _begin(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    async def _until_quiet(self, patience: float) -> None:
        ends = time.perf_counter() + patience
        while any(each.busy for each in self._all) and time.perf_counter() < ends:
            await asyncio.sleep(0.01)

    async def _connect(self, next_step: Callable[[Connection], None]) -> None:
        """Opens the connections. next_step: is called with a connection after each response."""

        def on_response(connection: Connection, status: int, whole: bytes) -> None:
            now = time.perf_counter()
            self.outcome.seconds.setdefault(status, []).append(now - connection.sent_at)
            self.outcome.responded.setdefault(status, []).append(now - self._began)
            if self._keep and status == 200:
                self.outcome.bodies[connection.number] = whole.partition(b"\r\n\r\n")[2]
            next_step(connection)

        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            made = await loop.create_connection(
                lambda: Connection(on_response, self._on_close), HOST, self._port
            )
            self._all.append(made[1])

    def _on_close(self, connection: Connection) -> None:
        self.outcome.lost += connection.busy
        connection.busy = False
        if connection in self._all:
            self._all.remove(connection)
        if not self._all and not self._ended_already():
            self._ended.set_result(None)

    def _ended_already(self) -> bool:
        return not hasattr(self, "_ended") or self._ended.done()

    def _after_response(self, connection: Connection) -> None:
        if connection.closing:  # the server is stopping and its port is closed
            connection.transport.close()
        else:
            self._send_next(connection)

    def _send_next(self, connection: Connection) -> None:
        number = next(self._numbers, None)
        if number is not None:
            self._send(connection, number)
        elif not any(other.busy for other in self._all) and not self._ended.done():
            self._ended.set_result(None)

    def _send(self, connection: Connection, number: int) -> None:
        self.outcome.sent += 1
        connection.send(number, self._make(number))

    def _close(self, seconds: float) -> Outcome:
        self.outcome.elapsed = seconds
        self.outcome.cpu = time.process_time() - self._cpu
        connections, self._all = self._all, []
        for each in connections:
            each.transport.close()
        return self.outcome


def cycle(requests: list[bytes]) -> Callable[[int], bytes]:
    """A function that returns request number n of the list, repeated without end."""
    return lambda number: requests[number % len(requests)]


def ramp(values: list[float], parts: int = 6) -> Iterator[float]:
    """The mean of each of `parts` equal parts of a series. It shows whether the series grows."""
    size = max(1, len(values) // parts)
    for start in range(0, size * parts, size):
        part = values[start : start + size]
        if part:
            yield sum(part) / len(part)
