"""Chapter 6."""

import math
import statistics

import pytest

from engine.lesson.bert import Bert
from engine.lesson.chapters.residual import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    by_hand, layers, _, trained = check(CHAPTER, bert)
    _, by_pencil, by_model = by_hand.splitlines()
    assert numbers(by_pencil) == numbers(by_model) == [-1, 1, -1, 1]
    rows = [numbers(line) for line in layers.splitlines()[1:]]
    assert rows[-1][1] < 0.01 and rows[-1][2] > 2 * rows[0][2]  # it disappears, it grows
    assert [row[3] for row in rows] == [math.sqrt(64)] * 3  # it stays
    cosines = [numbers(line)[1:] for line in trained.splitlines()[2:]]
    starts = [start for _, start in cosines]
    assert len(starts) == 6 and starts == sorted(starts, reverse=True)  # farther and farther
    assert min(before for before, _ in cosines) > 0.7  # "a little"


def test_answer() -> None:
    x = [2, 4, 6, 8]
    assert CHAPTER.exercise.answer == pytest.approx((8 - statistics.mean(x)) / statistics.pstdev(x))
