"""Chapter 8."""

import pytest

from engine.lesson.bert import Bert
from engine.lesson.chapters.pooling import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    pooled, cosines, whole = check(CHAPTER, bert)
    assert numbers(pooled) == [2, 2, 1, 0]
    assert numbers(cosines)[0] == 5
    assert numbers(cosines)[-9:] == [1, 1, 0, 1, 1, 0, 0, 0, 1]
    kitten, bill = numbers(whole.partition("cosines")[2])[1:3]
    vectors = bert.embedder.encode(["a cat", "a kitten", "a bill of lading"])
    expected = (vectors[0] @ vectors[1:].T).tolist()
    assert [kitten, bill] == pytest.approx(expected, abs=6e-4) and kitten > 0.7 > bill
    assert numbers(whole)[-1] <= 1e-6
    assert "pooling: mean" in whole and bert.config.pooling == "mean"  # as the text says of MiniLM


def test_answer() -> None:
    assert CHAPTER.exercise.answer == pytest.approx((3 * 4 + 4 * 3) / (5 * 5))
