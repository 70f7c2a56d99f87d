"""Token ids of every integer type keep their values; anything else is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from engine.checks import check_finite, checked_ids
from engine.errors import EngineError, InputError, NotFinite, TooLong

KINDS = ("i1", "u1", "<i2", ">i2", "<u2", "<i4", ">i4", "<u4", ">u4", "<i8", ">i8", "<u8", ">u8")
V = 100


@given(st.sampled_from(KINDS), st.lists(st.integers(0, V - 1), min_size=1, max_size=9))
def test_every_integer_kind_is_read_by_its_values(kind: str, ids: list[int]) -> None:
    array = np.array(ids, kind)
    read_only = array.copy()
    read_only.flags.writeable = False
    spread = np.zeros(3 * len(ids), kind)
    spread[1::3] = ids
    for given_ids in (ids, tuple(ids), array, read_only, spread[1::3], array[::-1][::-1]):
        got = checked_ids(given_ids, V, 9)
        assert got.dtype == np.int32 and got.dtype.isnative and got.flags.c_contiguous
        assert got.tolist() == ids


def test_contiguous_int32_is_not_copied() -> None:
    ids = np.arange(5, dtype=np.int32)
    assert checked_ids(ids, V, 5) is ids


@given(
    st.sampled_from(KINDS).flatmap(
        lambda kind: arrays.arrays(kind, st.integers(1, 9), elements={}, fill=st.nothing())
    )
)
def test_ids_are_returned_unchanged_or_refused(ids: Any) -> None:
    if all(0 <= id < V for id in ids.tolist()):
        assert checked_ids(ids, V, 9).tolist() == ids.tolist()
    else:
        with pytest.raises(InputError, match="0 to 99"):
            checked_ids(ids, V, 9)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "0 tokens"),
        (np.zeros(0, np.int32), "0 tokens"),
        (7, r"shape \(\)"),
        (np.array(7), r"shape \(\)"),
        ([[1, 2]], r"shape \(1, 2\)"),
        ([[1, 2], [3]], "not an array of integers"),
        ([1.0, 2.0], "float64"),
        (np.array([1, 2], np.float32), "float32"),
        ([True, False], "bool"),
        (["1", "2"], "give integers"),
        ("12", "shape"),
        (None, "shape"),
        ([None], "object"),
        ([2**70], "give integers"),
        (np.array([1, 2], object), "object"),
        (np.array([1, 2], "m8[s]"), "timedelta"),
        ([1, 2, 100, 3], "id 100 at index 2"),
        ([1, -1, 3], "id -1 at index 1"),
        ([2**31 - 1], "2147483647 at index 0"),
        (np.array([5, 2**32 + 5]), "4294967301 at index 1"),  # 5 in its low 32 bits
        (np.array([5, 2**63], np.uint64), "9223372036854775808 at index 1"),
    ],
)
def test_invalid_ids_are_refused(ids: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        checked_ids(ids, V, 9)
    assert not isinstance(caught.value, TooLong)


def test_the_limit() -> None:
    assert len(checked_ids([1] * 9, V, 9)) == 9
    with pytest.raises(TooLong, match="a text has 10 tokens; this model takes 1 to 9"):
        checked_ids([1] * 10, V, 9)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("text", [0, 2, 4])
def test_a_number_that_is_not_finite_is_found(number: float, text: int) -> None:
    pooled = np.zeros((5, 7), np.float32)
    hidden = [np.zeros((n + 1, 7), np.float32) for n in range(5)]
    check_finite(pooled)
    check_finite(hidden)
    pooled[text, 3] = hidden[text][text, 6] = number
    for vectors in (pooled, hidden):
        with pytest.raises(EngineError, match=f"text {text} contains"):
            check_finite(vectors)


def test_all_texts_with_such_numbers_are_named() -> None:
    pooled = np.zeros((5, 7), np.float32)
    pooled[1, 0], pooled[4, 6] = np.nan, np.inf
    with pytest.raises(NotFinite, match=r"text 1 .*\(2 such") as raised:
        check_finite(pooled)
    assert raised.value.texts == (1, 4)


def test_a_vector_whose_length_overflows_is_refused() -> None:
    """Its square is 2 (1.31e19)² = 3.4e38; float32 ends at 3.403e38."""
    check_finite(np.full((1, 2), 1.30e19, np.float32))
    with pytest.raises(NotFinite):
        check_finite(np.full((1, 2), 1.31e19, np.float32))


def test_the_largest_numbers_of_a_hidden_state_are_finite() -> None:
    check_finite([np.full((2, 4), np.finfo(np.float32).max)])
    check_finite([])
