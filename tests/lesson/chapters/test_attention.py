"""Chapter 4."""

import math

import pytest

from engine.lesson.bert import Bert
from engine.lesson.chapters.attention import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    linear, table, _, shares = check(CHAPTER, bert)
    by_loop, by_model = (numbers(line)[-1] for line in linear.splitlines()[1:])
    assert by_loop == by_model
    rows = [numbers(line) for line in table.splitlines()[1:]]
    for K, root, spread, _plain, scaled in rows:
        assert root == math.sqrt(K) and spread == pytest.approx(root, rel=0.1)
        assert 0.2 < scaled < 0.4
    assert [row[3] for row in rows] == sorted(row[3] for row in rows) and rows[-1][3] > 0.95
    ends = [line for line in shares.splitlines() if line.split()[1] in ("[CLS]", "[SEP]")]
    assert len(ends) >= len(shares.splitlines()) / 2  # "much often goes to [SEP] or [CLS]"


def test_answer() -> None:
    assert CHAPTER.exercise.answer == pytest.approx(1 / (1 + math.exp(-(24 - 16) / 8)))
