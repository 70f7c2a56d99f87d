"""Batches: the ids of each text end to end; plans have every text once, longest first, within the
budget or in equal parts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.batch import PackedBatch, plan, split

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=9), min_size=1))
def test_texts_lie_end_to_end(texts: list[list[int]]) -> None:
    for kind in (np.int32, np.int64):
        batch = PackedBatch.of([np.array(ids, kind) for ids in texts])  # type: ignore[misc]
        assert batch.ids_T.dtype == batch.positions_T.dtype == batch.cu_seqlens.dtype == np.int32
        assert batch.cu_seqlens[0] == 0 and len(batch.cu_seqlens) == len(texts) + 1
        for s, ids in enumerate(texts):
            place = slice(batch.cu_seqlens[s], batch.cu_seqlens[s + 1])
            assert batch.ids_T[place].tolist() == ids
            assert batch.positions_T[place].tolist() == list(range(len(ids)))


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        ([[1.0, 2.0]], TypeError),
        ([[1], []], ValueError),
    ],
)
def test_what_kernels_would_misread_is_no_batch(texts: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        PackedBatch.of([np.array(text) for text in texts])


def tokens(batches: list[list[int]], lengths: list[int]) -> list[int]:
    return [sum(lengths[i] for i in batch) for batch in batches]


def assert_each_once_longest_first(batches: list[list[int]], lengths: list[int]) -> None:
    order = [i for batch in batches for i in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)
    assert all(batches)


@given(LENGTHS, st.integers(1, 120))
def test_a_plan_keeps_to_its_budget(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, budget)
    assert_each_once_longest_first(batches, lengths)
    for batch, total in zip(batches, tokens(batches, lengths), strict=True):
        assert total <= budget or len(batch) == 1


@given(LENGTHS, st.integers(1, 120))
def test_a_batch_ends_only_where_the_next_text_does_not_fit(
    lengths: list[int], budget: int
) -> None:
    batches = plan(lengths, budget)
    totals = tokens(batches, lengths)
    for total, following in zip(totals[:-1], batches[1:], strict=True):
        assert total + lengths[following[0]] > budget


def test_batches_are_filled_to_the_last_token() -> None:
    assert plan([4, 4, 4, 4], 8) == [[0, 1], [2, 3]]
    assert plan([3, 5, 8], 8) == [[2], [1, 0]]
    assert plan([9, 8], 8) == [[0], [1]]
    assert plan([], 8) == []


@given(LENGTHS, st.integers(1, 9))
def test_a_split_is_as_even_as_its_longest_text_allows(lengths: list[int], parts: int) -> None:
    batches = split(lengths, parts)
    assert_each_once_longest_first(batches, lengths)
    assert len(batches) <= parts
    share = sum(lengths) / parts
    for batch, total in zip(batches, tokens(batches, lengths), strict=True):
        assert total < share + lengths[batch[0]]


def test_equal_texts_are_split_evenly() -> None:
    assert split([512] * 8, 4) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert split([], 3) == []
    assert split([5], 3) == [[0]]
