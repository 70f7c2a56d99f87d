"""The stored form of items and of their answers."""

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
from dbos import DBOS

from engine.errors import InputError
from engine.serve.queue.responses import (
    SLICE_BYTES,
    SLICE_ITEMS,
    Json,
    failure_of,
    packed,
    read,
    sliced,
    usage,
)


def answer(index: int, item: dict[str, Any], outcome: dict[str, Any]) -> dict[str, Any]:
    """As it comes back from the database."""
    return dict(orjson.loads(orjson.dumps(packed(index, item, outcome))))


def success(result: object, tokens: int = 3) -> dict[str, Any]:
    return {"success": True, "result": result, "error": None, "prompt_tokens": tokens}


def test_slices_hold_every_item_in_order_within_both_bounds() -> None:
    items = [{"text": "x" * (n % 7) * 2000} for n in range(200)]
    slices, total = sliced(items)
    assert [item for part in slices for item in part] == items
    sizes = [[len(orjson.dumps(item)) for item in part] for part in slices]
    assert sum(map(sum, sizes)) == total
    assert all(len(part) <= SLICE_ITEMS and sum(part) <= SLICE_BYTES for part in sizes)
    for part, after in itertools.pairwise(sizes):  # none could take one more
        assert len(part) == SLICE_ITEMS or sum(part) + after[0] > SLICE_BYTES
    giant = {"text": "x" * (SLICE_BYTES + 1)}
    assert [len(part) for part in sliced([{}, giant, {}])[0]] == [1, 1, 1]
    assert sliced([]) == ([], 0)
    half = {"text": "x" * (SLICE_BYTES // 2 - len('{"text":""}'))}
    assert [len(part) for part in sliced([half, half, half])[0]] == [2, 1]
    longer = {"text": half["text"] + "x"}
    assert [len(part) for part in sliced([half, longer])[0]] == [1, 1]


def test_what_cannot_be_stored_is_refused_by_number() -> None:
    with pytest.raises(InputError, match="request 1 of the batch cannot be stored"):
        sliced([{}, {"text": "\ud800"}])


def stored(status: str, *answers: dict[str, Any]) -> Any:
    return SimpleNamespace(workflow_id="w", status=status, steps=[{"responses": [*answers]}])


def test_vectors_come_back_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    data = rng.integers(0, 2**31, (2, 5), np.int32).view(np.float32)[:, ::2]
    item = {"external_reference": {"any": ["thing"]}}
    row = stored("SUCCESS", answer(4, item, success({"data": data, "shape": [2, 3]})))
    steps = [{"output": step} for step in row.steps]
    monkeypatch.setattr(DBOS, "list_workflow_steps", lambda _: steps)
    (response,), tokens = read(row)
    assert response["result"]["data"].tobytes() == data.tobytes()
    assert response["result"]["data"].shape == (2, 3) and tokens == 3
    assert (response["id"], response["success"]) == (4, True) and "error" not in response
    assert response["external_reference"] == {"any": ["thing"]}


def test_a_request_that_was_given_up_has_failures_where_answers_lack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    items = [{"external_reference": n} for n in range(4)]
    steps = [{"output": {"responses": [answer(2, items[2], success({"a": 1}, tokens=9))]}}]
    monkeypatch.setattr(DBOS, "list_workflow_steps", lambda _: steps)
    asked = SimpleNamespace(input={"args": ["model", [items[:3], items[3:]]]})
    monkeypatch.setattr(DBOS, "list_workflows", lambda **_: [asked])
    responses, tokens = read(stored("CANCELLED"))
    assert [(r["id"], r["success"], r["external_reference"]) for r in responses] == [
        (0, False, 0), (1, False, 1), (2, True, 2), (3, False, 3),
    ]  # fmt: skip
    assert tokens == 9 and "given up" in responses[0]["error"]["message"]


def test_an_answer_without_a_json_form_fails_alone() -> None:
    found = answer(0, {}, success({"data": {1, 2}}))
    assert (found["success"], found["result"]) == (False, None)
    assert found["error"]["message"] == "internal error (TypeError)"


def test_only_our_own_errors_are_told() -> None:
    assert failure_of(InputError("too long"))["error"] == {"message": "too long"}
    assert failure_of(ValueError("secret"))["error"] == {"message": "internal error (ValueError)"}


def test_nothing_is_stored_as_a_pickle() -> None:
    form = Json()
    assert form.deserialize(form.serialize({"a": [1, "é", None]})) == {"a": [1, "é", None]}
    assert form.serialize(ValueError("x")) == "\"ValueError('x')\""


def test_usage() -> None:
    assert usage(7) == {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}
