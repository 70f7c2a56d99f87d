"""Chapter 7."""

import statistics

import pytest

from engine.lesson.bert import Bert
from engine.lesson.chapters.feed_forward import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    maps, curve, exact, trained = check(CHAPTER, bert)
    two, one = (numbers(line) for line in maps.splitlines())
    assert two == one and len(two) == 4
    normal = statistics.NormalDist()
    for x, below, product, gelu, relu in (numbers(line) for line in curve.splitlines()[1:]):
        assert below == pytest.approx(normal.cdf(x), abs=6e-4)
        assert product == gelu == pytest.approx(x * normal.cdf(x), abs=6e-4)
        assert relu == max(x, 0)
    errors = [numbers(line)[-1] for line in exact.splitlines()[:2]]
    step = numbers(exact.splitlines()[2])[1]
    assert errors == [pytest.approx(0, abs=step)] * 2
    _, counts, off = trained.splitlines()
    attention, wide = (int(word.replace(",", "")) for word in counts.split()[1::2])
    assert (attention, wide) == (4 * 384**2, 2 * 384 * 1536) and wide > attention
    negative, _, _, small = numbers(off)
    assert 50 < negative < small < 100  # "shuts off most of those"


def test_answer() -> None:
    assert CHAPTER.exercise.answer == pytest.approx(-2 * statistics.NormalDist().cdf(-2), abs=1e-6)
    assert statistics.NormalDist().cdf(2) == pytest.approx(0.977, abs=5e-4)
