"""Chapter 9."""

import pytest

from engine.lesson.bert import Bert
from engine.lesson.chapters.quantisation import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    by_hand, product, outlier, weights, vectors = check(CHAPTER, bert)
    mine, back, engines = by_hand.splitlines()
    assert numbers(mine)[1:] == numbers(engines)[1:] == [50, -127, 2, 100]
    for value, exact in zip(numbers(back), (0.5, -1.27, 0.024, 1.0), strict=True):
        assert abs(value - exact) <= 0.005  # half a scale
    assert "sum up to -1604" in product  # 50 * 100 - 127 * 50 - 2 * 127
    assert numbers(product)[-2:] == [pytest.approx(-0.331, abs=0.02), -0.331]
    plain, rotated, products = (numbers(line.split(":")[-1]) for line in outlier.splitlines())
    assert plain[0] == rotated[0] and plain[1] == 60 > rotated[1] and plain[2] > 5 * rotated[2]
    assert products[0] == products[1]
    sizes = [
        [float(w) for w in numbers(line.replace(",", ""))[1:]] for line in weights.splitlines()
    ]
    assert [before / after for after, before, _ in sizes] == [2, 4]
    assert sizes[0][2] < 2e-4 < sizes[1][2] < 1e-2
    errors = {line.split()[0]: numbers(line)[-2] for line in vectors.splitlines()}
    assert errors["float32"] < 1e-9 < errors["int16"] < 1e-5 < errors["int8"] < 1e-3


def test_answer() -> None:
    assert CHAPTER.exercise.answer == round(1.0 / (2.54 / 127))
