"""A small load generator for one server on this machine: bounded in count and in time.

It costs some 60 microseconds a request, so that it takes little from the server beside it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

HOST = "127.0.0.1"  # and never anything else
TICK_S = 0.01  # of `Load.open`: a wake-up costs the server beside it more than a request does


@dataclass
class Outcome:
    """What came of the requests: by status the seconds that each took, and when it was answered;
    bodies of the accepted if kept, and losses."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    answered: dict[int, list[float]] = field(default_factory=dict)  # seconds from the beginning
    bodies: dict[int, bytes] = field(default_factory=dict)
    sent: int = 0
    lost: int = 0  # connections that ended under a request
    unsent: int = 0  # a request was due, and every connection was waiting for an answer
    elapsed: float = 0.0
    cpu: float = 0.0  # seconds that this process took for it

    def add(self, other: "Outcome") -> None:
        """Another round of the same load; its moments of answers and its bodies are left out."""
        for status, times in other.seconds.items():
            self.seconds.setdefault(status, []).extend(times)
        for name in ("sent", "lost", "unsent", "elapsed", "cpu"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def count(self, status: int) -> int:
        return len(self.seconds.get(status, ()))

    def rate(self, status: int, since: float, until: float) -> float:
        """Answers a second of that status in a part of the time."""
        times = self.answered.get(status, ())
        return sum(since <= at < until for at in times) / (until - since)

    def quantile(self, status: int, part: float) -> float:
        """Of the seconds of that status; NaN where there is none."""
        ordered = sorted(self.seconds.get(status, ()))
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def post(path: str, body: bytes) -> bytes:
    """A request, as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Peer(asyncio.Protocol):
    """A connection: `answered(peer, status, body)` after each request, `gone(peer)` at the end."""

    def __init__(
        self, answered: Callable[["Peer", int, bytes], None], gone: Callable[["Peer"], None]
    ) -> None:
        self._answered, self._gone = answered, gone
        self._buffer = b""
        self._wanted = 0
        self.busy = self.closing = False
        self.sent_at, self.number = 0.0, 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, number: int, request: bytes) -> None:
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
        self._answered(self, int(whole[9:12]), whole)

    def connection_lost(self, error: Exception | None) -> None:
        self._gone(self)


class Load:
    """Requests by `make(number)` over `connections` connections to one port of this machine."""

    def __init__(
        self, port: int, connections: int, make: Callable[[int], bytes], *, keep: bool = False
    ) -> None:
        self._port, self._connections, self._make, self._keep = port, connections, make, keep
        self._peers: list[Peer] = []
        self.outcome = Outcome()

    async def closed(self, count: int, seconds: float) -> Outcome:
        """Each connection asks again as soon as it is answered; `count` requests at most."""
        self._numbers = iter(range(count))
        self._ended = asyncio.get_running_loop().create_future()
        await self._connect(self._ask_again)
        self._begin()
        for peer in self._peers:
            self._ask(peer)
        async with asyncio.timeout(seconds):
            await self._ended
        return self._close(time.perf_counter() - self._began)

    async def open(self, rate: float, seconds: float, patience: float) -> Outcome:
        """Requests at a fixed rate, answered or not; then `patience` seconds for the last.

        They are sent, and answers looked for, once in `TICK_S`.
        """
        # In turns, so that none is idle for so long that the server closes it.
        self._idle: deque[Peer] = deque()
        await self._connect(lambda peer: self._idle.append(peer))
        self._idle.extend(self._peers)
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
        self.outcome.lost += sum(peer.busy for peer in self._peers)
        return self._close(seconds)

    def _begin(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    async def _until_quiet(self, patience: float) -> None:
        ends = time.perf_counter() + patience
        while any(peer.busy for peer in self._peers) and time.perf_counter() < ends:
            await asyncio.sleep(0.01)

    async def _connect(self, freed: Callable[[Peer], None]) -> None:
        def answered(peer: Peer, status: int, whole: bytes) -> None:
            now = time.perf_counter()
            self.outcome.seconds.setdefault(status, []).append(now - peer.sent_at)
            self.outcome.answered.setdefault(status, []).append(now - self._began)
            if self._keep and status == 200:
                self.outcome.bodies[peer.number] = whole.partition(b"\r\n\r\n")[2]
            freed(peer)

        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            made = await loop.create_connection(
                lambda: Peer(answered, self._gone), HOST, self._port
            )
            self._peers.append(made[1])

    def _gone(self, peer: Peer) -> None:
        self.outcome.lost += peer.busy
        peer.busy = False
        if peer in self._peers:
            self._peers.remove(peer)
        if not self._peers and not self._ended_already():
            self._ended.set_result(None)

    def _ended_already(self) -> bool:
        return not hasattr(self, "_ended") or self._ended.done()

    def _ask_again(self, peer: Peer) -> None:
        if peer.closing:  # the server stops; its port is closed
            peer.transport.close()
        else:
            self._ask(peer)

    def _ask(self, peer: Peer) -> None:
        number = next(self._numbers, None)
        if number is not None:
            self._send(peer, number)
        elif not any(other.busy for other in self._peers) and not self._ended.done():
            self._ended.set_result(None)

    def _send(self, peer: Peer, number: int) -> None:
        self.outcome.sent += 1
        peer.ask(number, self._make(number))

    def _close(self, seconds: float) -> Outcome:
        self.outcome.elapsed = seconds
        self.outcome.cpu = time.process_time() - self._cpu
        peers, self._peers = self._peers, []
        for peer in peers:
            peer.transport.close()
        return self.outcome


def cycle(requests: list[bytes]) -> Callable[[int], bytes]:
    """Request number n of an endless repetition of the list."""
    return lambda number: requests[number % len(requests)]


def ramp(values: list[float], parts: int = 6) -> Iterator[float]:
    """The mean of each part of a series: whether it grows."""
    size = max(1, len(values) // parts)
    for start in range(0, size * parts, size):
        part = values[start : start + size]
        if part:
            yield sum(part) / len(part)
