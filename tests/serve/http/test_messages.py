"""A request's body, limits and client; an answer's bytes."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from engine.serve.http import messages
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Answer, Call, array_to_json, parse_json, send_answer, to_json


def call(*messages: Any, **scope: Any) -> Call:
    """A request of which these messages come, and then nothing more."""
    waiting = list(messages)

    async def receive() -> Any:
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    return Call({"path": "/", "headers": [], "query_string": b"", **scope}, receive)


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def read(asked: Call, limit: int = 100, seconds: float = 5.0) -> bytes:
    return asyncio.run(asked.body(limit, seconds, lambda size: None))


def test_the_last_of_repeated_headers_and_parameters_counts() -> None:
    asked = call(headers=[(b"a", b"1"), (b"a", b"2")], query_string=b"x=1&y=&x=%C3%A9")
    assert asked.headers == {b"a": b"2"}
    assert asked.query == {"x": "é", "y": ""}
    assert len({call().id for _ in range(50)}) == 50


def test_a_body_in_parts() -> None:
    sizes: list[int] = []
    asked = call(part(b"ab", True), part(b"", True), part(b"c"))
    assert asyncio.run(asked.body(3, 5.0, sizes.append)) == b"abc"
    assert sizes == [2, 0, 1]


def test_a_body_over_the_limit_is_refused_as_soon_as_it_is_known() -> None:
    announced = call(headers=[(b"content-length", b"101")])
    in_parts = call(part(b"x" * 60, True), part(b"x" * 41, True))
    for asked in (announced, in_parts):
        with pytest.raises(Problem, match="more than 100 bytes") as raised:
            read(asked)
        assert raised.value.kind is Kind.BODY_TOO_LARGE
    assert read(call(part(b"x" * 100), headers=[(b"content-length", b"100")])) == b"x" * 100


def test_a_body_that_does_not_come() -> None:
    with pytest.raises(Problem, match=r"within 0\.01 seconds") as raised:
        read(call(part(b"x", True)), seconds=0.01)
    assert raised.value.kind is Kind.TIMEOUT


def test_a_client_that_leaves_cancels_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"type": "http.disconnect"}
    early = call(part(b"x", True), gone)
    with pytest.raises(asyncio.CancelledError):
        read(early)
    assert early.left

    monkeypatch.setattr(messages, "WATCH_AFTER_S", 0.01)
    late = call(gone)

    async def answer() -> None:
        late.watch()
        await asyncio.sleep(30)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(answer())
    assert late.left

    stays = call()

    async def finish() -> None:
        stays.watch()
        await asyncio.sleep(0.05)
        stays.unwatch()

    asyncio.run(finish())
    assert not stays.left


def test_json_in() -> None:
    assert parse_json('{"é": [1, null]}'.encode()) == {"é": [1, None]}
    for body, kind in (
        (b"", Kind.NO_BODY),
        (b"{", Kind.NOT_JSON),
        (b'"\xff"', Kind.NOT_JSON),
        (b"NaN", Kind.NOT_JSON),
        (b'{"a": 1} x', Kind.NOT_JSON),
        (b'"\\ud800"', Kind.NOT_JSON),
    ):
        with pytest.raises(Problem) as raised:
            parse_json(body)
        assert raised.value.kind is kind


def test_json_out_gives_back_every_float32() -> None:
    values = np.random.default_rng(1).standard_normal((5, 7)).astype(np.float32)
    assert np.array_equal(np.array(json.loads(to_json(values)), np.float32), values)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 7])
def test_slices_make_one_array(length: int) -> None:
    rows = np.arange(2 * length, dtype=np.float32).reshape(length, 2)
    assert asyncio.run(array_to_json(rows, step=3)) == to_json(rows)
    items = [{"i": i} for i in range(length)]
    assert asyncio.run(array_to_json(items, step=1)) == to_json(items)


def test_others_get_their_turn_between_slices() -> None:
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


def test_an_answer_is_a_head_and_a_body() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(send_answer(send, Answer(418, b"tea", [(b"x-a", b"1")], b"text/plain")))
    start, body = sent
    assert (start["type"], start["status"]) == ("http.response.start", 418)
    assert start["headers"] == [
        (b"content-type", b"text/plain"), (b"content-length", b"3"), (b"x-a", b"1"),
    ]  # fmt: skip
    assert body == {"type": "http.response.body", "body": b"tea"}
