"""Chapter 1."""

import math

import pytest

from engine.lesson.bert import Bert
from engine.lesson.chapters.by_hand import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    score, shares, gather, _ = check(CHAPTER, bert)
    assert [numbers(line)[-1] for line in score.splitlines()] == [2, 0]
    power = math.exp(2 / math.sqrt(2))
    first, second = power / (power + 1), 1 / (power + 1)
    assert numbers(shares)[-2:] == pytest.approx([first, second], abs=5e-4)
    expected = [10 * first, 20 * second, 5, 10]
    assert numbers(gather)[4:] == pytest.approx([*expected, *expected], abs=6e-3)


def test_answer() -> None:
    assert CHAPTER.exercise.answer == pytest.approx(1 / (1 + math.exp(-math.sqrt(2))))
