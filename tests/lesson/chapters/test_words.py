"""Chapter 2."""

import pytest

from engine.lesson import wordpiece
from engine.lesson.bert import Bert
from engine.lesson.chapters.words import CHAPTER, TEXTS
from tests.lesson.checks import check


def test_chapter(bert: Bert) -> None:
    words, pieces, compared = check(CHAPTER, bert)
    assert words.splitlines()[0] == "'creme brulee' -> ['creme', 'brulee']"
    assert pieces.splitlines() == [
        "Players! -> play ##er ##s !",
        "unplayable -> un ##play ##able",
        "played -> [UNK]",
    ]
    first, *rest = compared.splitlines()
    assert first == "all-MiniLM-L6-v2 knows 30522 tokens"
    assert [line.split()[0] for line in rest] == ["same:"] * len(TEXTS)
    assert rest[0] == "same: unbelievable !"


def test_a_difference_would_be_seen(bert: Bert, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wordpiece, "clean", str)
    assert "DIFFERENT: [UNK] !" in "".join(CHAPTER.pages[-1].render(bert))


def test_answer() -> None:
    assert CHAPTER.exercise.answer == "unp ##lay ##er ##s"
