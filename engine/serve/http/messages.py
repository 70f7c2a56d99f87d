"""Starlette's Request and Response, with bounded bodies, and JSON by orjson."""

import asyncio
import random
import re
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import starlette.requests
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope

from engine.serve.http.errors import ErrorKind, HTTPError

WATCH_AFTER_S = 0.05  # shorter requests need no task that watches for a disconnect
# In a string of JSON: half of a pair of surrogates, which is no character; or any other escape.
HALF = rb"u[dD][%b][0-9a-fA-F]{2}"
HIGH, LOW, ANY = HALF % b"89abAB", HALF % b"c-fC-F", HALF % b"89a-fA-F"
ESCAPE = re.compile(rb"\\(?:%b\\%b|(?P<lone>%b)|.)" % (HIGH, LOW, ANY), re.DOTALL)
ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
SLICE = 64  # rows serialised before other requests get their turn: about a millisecond


class Request(starlette.requests.Request):
    """A request with an id, a bounded body, and counts for the access log."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        given = self.headers.get("x-request-id", "")  # for who follows a request through services
        unique = uuid.UUID(int=random.getrandbits(128), version=4)  # not secret
        self.id = given if ID.fullmatch(given) else str(unique)
        self.started = time.perf_counter()
        self.path: str = scope["path"]
        self.route = ""  # its pattern, once known
        self.model = ""
        self.texts = self.tokens = self.truncated = 0
        self.stages: list[tuple[float, ...]] = []  # `Work.times` of each call of the model
        self.body_bytes = 0  # bytes of the body in memory
        self.disconnected = False
        self._body_read = False
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def body_pending(self) -> bool:
        """Whether the client may still be sending the body."""
        if self._body_read:
            return False
        return self.headers.get("content-length", "0") != "0" or "transfer-encoding" in self.headers

    async def read_body(self, limit: int, seconds: float, reserve: Callable[[int], None]) -> bytes:
        """The whole body. Raises HTTPError BODY_TOO_LARGE over `limit` bytes, TIMEOUT after
        `seconds`, and ClientDisconnect. `reserve(n)` is called for each part and may raise.
        """
        if int(self.headers.get("content-length", "0")) > limit:
            raise _too_large(limit)
        try:
            async with asyncio.timeout(seconds):
                return await self._read(limit, reserve)
        except TimeoutError:
            message = f"The body did not arrive within {seconds:g} seconds."
            raise HTTPError(ErrorKind.TIMEOUT, message) from None

    async def _read(self, limit: int, reserve: Callable[[int], None]) -> bytes:
        parts: list[bytes] = []
        size = 0
        while not self._body_read:
            part = await self._next_part()
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            reserve(len(part))
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def discard_body(self, seconds: float) -> None:
        """Reads the rest of the body for at most `seconds` and forgets it."""
        try:
            async with asyncio.timeout(seconds):
                while not self._body_read:
                    await self._next_part()
        except (TimeoutError, ClientDisconnect):
            pass

    async def _next_part(self) -> bytes:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        self._body_read = not message.get("more_body", False)
        return message.get("body", b"")  # type: ignore[no-any-return]

    def cancel_on_disconnect(self) -> None:
        """From now on the current task is cancelled if the client leaves. Call it after the body
        was read, and `stop_watching` at the end.
        """
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(WATCH_AFTER_S, self._start_watching, task)

    def _start_watching(self, task: asyncio.Task[Any]) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._watch(task))

    async def _watch(self, task: asyncio.Task[Any]) -> None:
        await self.receive()  # after the body, the only message is http.disconnect
        self.disconnected = True
        task.cancel()

    def stop_watching(self) -> None:
        """Ends what `cancel_on_disconnect` started."""
        for pending in (self._timer, self._watcher):
            if pending is not None:
                pending.cancel()
        self._timer = self._watcher = None


Handler = Callable[[Request], Awaitable[Response]]


def _too_large(limit: int) -> HTTPError:
    return HTTPError(
        ErrorKind.BODY_TOO_LARGE, f"The body is larger than the limit of {limit} bytes."
    )


class JSONResponse(Response):
    """A JSON body: serialised bytes as they are, any other value by `to_json`."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else to_json(content)


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its content encoding, gzip or none. HTTPError if it is over `limit` bytes,
    damaged, or encoded in another way."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        message = f"content-encoding is {encoding[:60]!r}; it must be gzip, or none."
        raise HTTPError(ErrorKind.INVALID, message)
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        content = unzip.decompress(body, limit + 1)
    except zlib.error as error:
        raise HTTPError(ErrorKind.NOT_JSON, f"the body is no gzip: {error}") from None
    if len(content) > limit:
        raise _too_large(limit)
    if not unzip.eof:
        raise HTTPError(ErrorKind.NOT_JSON, "the gzip body is cut off")
    return content


def parse_json(body: bytes) -> Any:
    """The value of a JSON body in UTF-8, whatever the content type. Raises HTTPError.

    A lone surrogate becomes U+FFFD, as in the library: JSON can write it, UTF-8 cannot.
    """
    if not body:
        raise HTTPError(ErrorKind.NO_BODY, "The request has no body; send a JSON object.")
    try:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            if b"\\ud" not in body.lower():
                raise
            return orjson.loads(ESCAPE.sub(_without_lone_surrogate, body))
    except orjson.JSONDecodeError as error:
        message = f"The body is not JSON: {error.msg}, at {error.pos}."
        raise HTTPError(ErrorKind.NOT_JSON, message) from None


def _without_lone_surrogate(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape["lone"] else escape[0]


def to_json(value: Any) -> bytes:
    """JSON, numpy arrays included; a float32 with the fewest digits that restore it exactly."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


async def array_to_json(items: Sequence[Any] | NDArray[Any], step: int = SLICE) -> bytes:
    """Like `to_json`, but long arrays in slices of `step`, with other tasks running in between."""
    if len(items) <= step:
        return to_json(items)
    parts = []
    for start in range(0, len(items), step):
        parts.append(to_json(items[start : start + step])[1:-1])
        await asyncio.sleep(0)
    return b"[" + b",".join(parts) + b"]"
