"""The stored form of items and of their responses."""

import itertools
from typing import Any

import numpy as np
import orjson
import pytest

from engine.errors import InputError
from engine.serve.queue.responses import (
    SLICE_BYTES,
    SLICE_ITEMS,
    cut_into_slices,
    decode,
    encode,
    failure_of,
)


def success(result: object, tokens: int = 3) -> dict[str, Any]:
    return {"success": True, "result": result, "error": None, "prompt_tokens": tokens}


def sliced(items: list[dict[str, Any]]) -> tuple[list[list[Any]], int]:
    """The items of each slice; their indices are checked."""
    slices, total = cut_into_slices(items)
    parts = [orjson.loads(text) for _, text in slices]
    firsts = itertools.accumulate((len(part) for part in parts), initial=0)
    assert [first for first, _ in slices] == list(firsts)[:-1]
    return parts, total


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


def test_vectors_come_back_bit_for_bit() -> None:
    rng = np.random.default_rng(2)
    data = rng.integers(0, 2**31, (2, 5), np.int32).view(np.float32)[:, ::2]
    items = [{"external_reference": {"any": ["thing"]}}, {}]
    outcomes = [success({"data": data, "shape": [2, 3]}), success("other", tokens=4)]
    (response, other), tokens = decode([encode(4, items, outcomes)])
    assert response["result"]["data"].tobytes() == data.tobytes()
    assert response["result"]["data"].shape == (2, 3) and tokens == 7
    assert (response["id"], response["success"]) == (4, True) and "error" not in response
    assert response["external_reference"] == {"any": ["thing"]}
    assert (other["id"], other["external_reference"]) == (5, None)


def test_responses_keep_the_order_of_their_slices() -> None:
    texts = [encode(first, [{}] * 2, [success(None)] * 2) for first in (0, 2, 4)]
    responses, tokens = decode(texts)
    assert [response["id"] for response in responses] == list(range(6)) and tokens == 18
    assert decode([]) == ([], 0)


def test_a_result_without_a_json_form_fails_alone() -> None:
    outcomes = [success({"data": {1, 2}}), success("fine")]
    (failed, fine), _ = decode([encode(0, [{"external_reference": 7}, {}], outcomes)])
    assert (failed["success"], failed["result"]) == (False, None)
    assert failed["error"]["message"] == "internal error (TypeError)"
    assert failed["external_reference"] == 7 and fine["result"] == "fine"


def test_only_our_own_messages_are_shown() -> None:
    assert failure_of(InputError("too long"))["error"] == {"message": "too long"}
    assert failure_of(ValueError("secret"))["error"] == {"message": "internal error (ValueError)"}
