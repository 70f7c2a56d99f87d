"""One HTTP request and its answer, without a framework's weight."""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import parse_qs

import orjson
from numpy.typing import NDArray

from engine.serve.http.errors import Kind, Problem

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
WATCH_AFTER_S = 0.05  # a request answered sooner is not watched for its client's leaving
SLICE = 64  # rows written before others get their turn: a millisecond or so


@dataclass(slots=True)
class Answer:
    """Status, body, and headers besides content-type and content-length."""

    status: int
    body: bytes
    headers: list[Header] = field(default_factory=list)
    content_type: bytes = JSON

    def head(self) -> list[Header]:
        """All its headers."""
        length = b"%d" % len(self.body)
        return [(b"content-type", self.content_type), (b"content-length", length), *self.headers]


async def _nothing_more() -> NoReturn:
    raise RuntimeError("Only the head of this request is there.")


class Call:
    """A request as the dialects see it; notes for the access log gather on it.

    Without `receive` it is no more than its head.
    """

    def __init__(self, scope: Scope, receive: Receive = _nothing_more) -> None:
        self.scope, self._receive = scope, receive
        self.id = str(uuid.UUID(int=random.getrandbits(128), version=4))  # no secret, and cheap
        self.started = time.perf_counter()
        self.path: str = scope["path"]
        self.headers = dict[bytes, bytes](scope["headers"])  # of a repeated one the last
        self.model = ""
        self.texts = self.tokens = self.cut = 0
        self.left = False  # the client closed the connection
        self.held = 0  # bytes of its body
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    @cached_property
    def query(self) -> dict[str, str]:
        """Of a repeated parameter the last."""
        parsed = parse_qs(self.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return {name: values[-1] for name, values in parsed.items()}

    @property
    def params(self) -> dict[str, str]:
        """What the route matched in the path, decoded."""
        return self.scope["path_params"]  # type: ignore[no-any-return]

    async def body(self, limit: int, seconds: float, hold: Callable[[int], None]) -> bytes:
        """The whole body; refused as soon as it is known to pass `limit` bytes or `seconds`.

        `hold` is told the size of each part, and may refuse by raising.
        """
        if int(self.headers.get(b"content-length", b"0")) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(seconds):
                return await self._read(limit, hold)
        except TimeoutError:
            raise Problem(
                Kind.TIMEOUT, f"The body did not arrive within {seconds:g} seconds."
            ) from None

    async def _read(self, limit: int, hold: Callable[[int], None]) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.left = True
                raise asyncio.CancelledError
            part = message["body"]
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            hold(len(part))
            parts.append(part)
            if not message["more_body"]:
                return parts[0] if len(parts) == 1 else b"".join(parts)

    def watch(self) -> None:
        """From here on the request is cancelled when its client leaves. After the body only."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        self._timer = loop.call_later(WATCH_AFTER_S, self._start_watching, task)

    def _start_watching(self, task: asyncio.Task[Any]) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._wait_for_end(task))

    async def _wait_for_end(self, task: asyncio.Task[Any]) -> None:
        await self._receive()  # nothing more can come but the end of the connection
        self.left = True
        task.cancel()

    def unwatch(self) -> None:
        for pending in (self._timer, self._watcher):
            if pending is not None:
                pending.cancel()
        self._timer = self._watcher = None


def _too_large(limit: int) -> Problem:
    return Problem(Kind.BODY_TOO_LARGE, f"The body has more than {limit} bytes, the limit here.")


def parse_json(body: bytes) -> Any:
    """The value, whatever the content type said. Refuses what is not JSON in UTF-8."""
    if not body:
        raise Problem(Kind.NO_BODY, "The request has no body; send a JSON object.")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem(
            Kind.NOT_JSON, f"The body is not JSON: {error.msg}, at {error.pos}."
        ) from None


def to_json(value: Any) -> bytes:
    """JSON, numpy arrays included: a float32 by the fewest digits that give it back."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


async def array_to_json(items: Sequence[Any] | NDArray[Any], step: int = SLICE) -> bytes:
    """As `to_json`; a long array in slices of `step`, between which other requests move on."""
    if len(items) <= step:
        return to_json(items)
    parts = []
    for start in range(0, len(items), step):
        parts.append(to_json(items[start : start + step])[1:-1])
        await asyncio.sleep(0)
    return b"[" + b",".join(parts) + b"]"


async def send_answer(send: Send, answer: Answer) -> None:
    """Both messages of an ASGI response."""
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.head()}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})
