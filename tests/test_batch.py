"""Plans: every text once, longest first, within the budget or in equal parts."""

from hypothesis import given
from hypothesis import strategies as st

from engine.batch import plan, split

LENGTHS = st.lists(st.integers(1, 50), max_size=60)


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
