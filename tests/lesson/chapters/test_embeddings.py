"""Chapter 3."""

from engine.lesson.bert import Bert
from engine.lesson.chapters.embeddings import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    rows, neighbours, _, order = check(CHAPTER, bert)
    assert rows.splitlines()[0] == "the table has 30522 384 rows and columns"
    assert "cat is row 4937 [ 0.033 -0.033  0.062  0.03 ] ..." in rows
    king, monday, blue = neighbours.splitlines()
    assert "queen" in king and "tuesday" in monday and "red" in blue
    for line in (king, monday, blue):
        assert 1 > numbers(line)[0] >= numbers(line)[-1] > 0.3
    assert "positions [0 1 2 3 4 0 1 2 3 4]" in order and "cu_seqlens [ 0  5 10]" in order
    last = order.splitlines()[-1]
    assert last.startswith("the cosine of dog with dog: ") and 0.9 < numbers(last)[0] < 0.999


def test_answer() -> None:
    assert CHAPTER.exercise.answer == [0, 1, 2, 3, 0, 1, 2][5]
