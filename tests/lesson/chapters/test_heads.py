"""Chapter 5."""

from engine.lesson.bert import Bert
from engine.lesson.chapters.heads import CHAPTER
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    split, example, trained, _ = check(CHAPTER, bert)
    assert numbers(split) == [0, 1, 2, 5, 6, 1, 3, 4, 7, 8]
    one, two = (numbers(line)[1:] for line in example.splitlines())
    assert one == [1.5] * 4 and two == [1, 1, 2, 2]
    sizes, *heads = trained.splitlines()
    assert sizes == "6 layers of 12 heads; K is 32"
    assert [line.split(":")[0] for line in heads] == ["itself", "the one before", "[CLS]"]
    for line in heads:
        layer, head, share = numbers(line.split(":")[1])
        assert 1 <= layer <= 6 and 0 <= head < 12 and 0.2 < share <= 1
    assert len({line.split(":")[1] for line in heads}) == 3  # "the heads differ"


def test_answer() -> None:
    assert CHAPTER.exercise.answer == 210 // (768 // 12)
