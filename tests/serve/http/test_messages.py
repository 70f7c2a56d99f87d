"""Request bodies and their limits, disconnects, JSON."""

import asyncio
import gzip
import json
from typing import Any

import numpy as np
import pytest
from starlette.requests import ClientDisconnect

from engine.serve.http import messages
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import (
    JSONResponse,
    Request,
    array_to_json,
    decompressed,
    parse_json,
    to_json,
)


def request(*messages: Any, **scope: Any) -> Request:
    """A request that receives these ASGI messages, and then nothing more."""
    waiting = list(messages)

    async def receive() -> Any:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    return Request(
        {"type": "http", "path": "/", "headers": [], "query_string": b"", **scope}, receive
    )


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def read(asked: Request, limit: int = 100, seconds: float = 5.0) -> bytes:
    return asyncio.run(asked.read_body(limit, seconds, lambda size: None))


def test_ids_are_unique() -> None:
    assert len({request().id for _ in range(50)}) == 50


def test_the_id_that_a_client_gives_is_kept() -> None:
    for given in (b"4bf92f35-77b3", b"trace/1:span=2", b"x" * 128):
        assert request(headers=[(b"x-request-id", given)]).id == given.decode()
    for wrong in (b"", b"two words", b'a"quote', b"x" * 129, "é".encode()):
        assert request(headers=[(b"x-request-id", wrong)]).id != wrong.decode("latin-1")


def test_a_body_in_parts() -> None:
    sizes: list[int] = []
    asked = request(part(b"ab", True), part(b"", True), part(b"c"))
    assert asyncio.run(asked.read_body(3, 5.0, sizes.append)) == b"abc"
    assert sizes == [2, 0, 1]


def test_a_body_over_the_limit_is_refused_as_early_as_possible() -> None:
    announced = request(headers=[(b"content-length", b"101")])
    in_parts = request(part(b"x" * 60, True), part(b"x" * 41, True))
    for asked in (announced, in_parts):
        with pytest.raises(HTTPError, match="limit of 100 bytes") as raised:
            read(asked)
        assert raised.value.kind is ErrorKind.BODY_TOO_LARGE
    assert read(request(part(b"x" * 100), headers=[(b"content-length", b"100")])) == b"x" * 100


def test_a_body_that_does_not_arrive() -> None:
    with pytest.raises(HTTPError, match=r"within 0\.01 seconds") as raised:
        read(request(part(b"x", True)), seconds=0.01)
    assert raised.value.kind is ErrorKind.TIMEOUT


def test_a_disconnect_cancels_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"type": "http.disconnect"}
    early = request(part(b"x", True), gone)
    with pytest.raises(ClientDisconnect):
        read(early)

    monkeypatch.setattr(messages, "WATCH_AFTER_S", 0.01)
    late = request(gone)

    async def respond() -> None:
        late.cancel_on_disconnect()
        await asyncio.sleep(30)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(respond())
    assert late.disconnected

    stays = request()

    async def finish() -> None:
        stays.cancel_on_disconnect()
        await asyncio.sleep(0.05)
        stays.stop_watching()

    asyncio.run(finish())
    assert not stays.disconnected


def test_parsing_json() -> None:
    assert parse_json('{"é": [1, null]}'.encode()) == {"é": [1, None]}
    for body, kind in (
        (b"", ErrorKind.NO_BODY),
        (b"{", ErrorKind.NOT_JSON),
        (b'"\xff"', ErrorKind.NOT_JSON),
        (b"NaN", ErrorKind.NOT_JSON),
        (b'{"a": 1} x', ErrorKind.NOT_JSON),
    ):
        with pytest.raises(HTTPError) as raised:
            parse_json(body)
        assert raised.value.kind is kind


def test_json_restores_every_float32() -> None:
    values = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)
    assert np.array_equal(np.array(json.loads(to_json(values)), np.float32), values)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 7])
def test_slices_make_one_array(length: int) -> None:
    rows = np.arange(2 * length, dtype=np.float32).reshape(length, 2)
    assert asyncio.run(array_to_json(rows, step=3)) == to_json(rows)
    items = [{"i": i} for i in range(length)]
    assert asyncio.run(array_to_json(items, step=1)) == to_json(items)


def test_other_tasks_run_between_slices() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        other = asyncio.create_task(count())
        await array_to_json(list(range(10)), step=2)
        other.cancel()

    asyncio.run(both())
    assert turns >= 4


def test_json_responses() -> None:
    assert JSONResponse(b"[1]").body == JSONResponse([1]).body == b"[1]"
    made = JSONResponse({}, 418, {"x-a": "1"})
    assert made.status_code == 418 and made.headers["x-a"] == "1"
    assert made.headers["content-type"] == "application/json"


def test_whether_a_body_may_still_arrive() -> None:
    length, chunked = (b"content-length", b"2"), (b"transfer-encoding", b"chunked")
    assert not request().body_pending
    assert not request(headers=[(b"content-length", b"0")]).body_pending
    for header in (length, chunked):
        asked = request(part(b"a", True), part(b"b"), headers=[header])
        assert asked.body_pending
        asyncio.run(asked.discard_body(5.0))
        assert not asked.body_pending
    late = request(part(b"a", True), headers=[length])
    asyncio.run(late.discard_body(0.01))
    assert late.body_pending


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "x-gzip"])
def test_a_body_may_be_compressed(encoding: str) -> None:
    content = b'{"inputs": "a"}' * 99
    body = gzip.compress(content) if "gzip" in encoding else content
    assert decompressed(body, encoding, len(content)) == content


@pytest.mark.parametrize(
    ("body", "encoding", "kind"),
    [
        (gzip.compress(bytes(10_000_000)), "gzip", ErrorKind.BODY_TOO_LARGE),
        (gzip.compress(b"{}")[:-1], "gzip", ErrorKind.NOT_JSON),
        (b"{}", "gzip", ErrorKind.NOT_JSON),
        (b"", "gzip", ErrorKind.NOT_JSON),
        (b"{}", "br", ErrorKind.INVALID),
        (b"{}", "gzip, gzip", ErrorKind.INVALID),
    ],
)
def test_what_cannot_be_decompressed(body: bytes, encoding: str, kind: ErrorKind) -> None:
    with pytest.raises(HTTPError) as raised:
        decompressed(body, encoding, 1000)
    assert raised.value.kind is kind


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'"a\ud800b"', "a\ufffdb"),
        (rb'"\uDC00\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud800\u0041\n"', "\ufffdA\n"),
        (rb'"\\ud800 \ud800"', "\\ud800 \ufffd"),  # a backslash, not an escape
        (rb'"\ud800\ud800\udc00"', "\ufffd\U00010000"),
    ],
)
def test_a_lone_surrogate_is_replaced(body: bytes, text: str) -> None:
    assert parse_json(body) == text


@pytest.mark.parametrize("body", [rb'"\ud8', rb'"\ud800', rb'"\ud80z"', rb'["\ud800" NaN]'])
def test_what_is_wrong_besides_is_refused(body: bytes) -> None:
    with pytest.raises(HTTPError) as raised:
        parse_json(body)
    assert raised.value.kind is ErrorKind.NOT_JSON
