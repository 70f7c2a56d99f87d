"""How a page is written, and what all chapters together promise."""

import re
import shlex

import pytest

from engine import model
from engine.cli import main
from engine.lesson.bert import Bert
from engine.lesson.chapter import Chapter, Page, source
from engine.lesson.chapters import CHAPTERS
from engine.lesson.exercise import Exercise
from tests.support.paths import ROOT


def seven() -> None:
    print(3 + 4)
    print()
    print("K")


def name_of(bert: Bert) -> None:
    print(bert.name)


NOWHERE = Bert("no-such-model", offline=True)
PAGE = Page(
    """
    One two three. A formula stands on one line, also at the end of it, such as: K = 12.

        kept   as
        it is

    Last.
    """,
    shown=(model.cls_pool,),
    run=seven,
)


def test_a_page() -> None:
    text, shown, code, output = PAGE.render(None)
    assert text == (
        "One two three. A formula stands on one line, also at the end of it, such as:\nK = 12.\n\n"
        "    kept   as\n    it is\n\nLast.\n"
    )
    assert shown.startswith("\n  def cls_pool(x_LD):\n      ")
    assert code == (
        '\n  def seven() -> None:\n      print(3 + 4)\n      print()\n      print("K")\n'
    )
    assert output == "\nprints\n\n  7\n\n  K\n"


def test_what_needs_a_model_is_known_by_its_parameter() -> None:
    page, exercise = Page("", run=name_of), Exercise("?", 1, "")
    assert page.needs_model and not PAGE.needs_model and not Page("").needs_model
    assert Chapter("", (PAGE, page), exercise).needs_model
    assert not Chapter("", (PAGE,), exercise).needs_model
    assert [*page.render(NOWHERE)][-1] == "\nprints\n\n  no-such-model\n"
    assert [*page.render(None)][-1] == "\nnot run, because it needs a model\n"


def test_source_is_that_of_the_file() -> None:
    assert source(model.cls_pool).endswith("return x_LD[0]\n")


def test_there_are_ten_chapters_and_the_first_needs_no_model() -> None:
    assert len(CHAPTERS) == 10 and len({chapter.title for chapter in CHAPTERS}) == 10
    assert not CHAPTERS[0].needs_model


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.title)
def test_without_a_model_all_else_is_shown_and_run(chapter: Chapter) -> None:
    for page in chapter.pages:
        parts = [*page.render(None)]
        assert page.run is None or ("prints" in parts[-1]) != page.needs_model


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.title)
def test_references_to_other_chapters(chapter: Chapter) -> None:
    told = {1: "by hand", 4: "√K", 5: "Heads", 6: "layer norm", 7: "GELU", 8: "cosine"}
    for page in chapter.pages:
        for number in map(int, re.findall(r"[Cc]hapter (\d+)", page.text)):
            assert told[number] in CHAPTERS[number - 1].title


def test_files_and_commands_that_are_told_exist() -> None:
    prose = "\n".join(page.text for chapter in CHAPTERS for page in chapter.pages)
    files = re.findall(r"engine/[\w/]+\.py", prose)
    assert len(files) > 5 and all((ROOT / file).is_file() for file in files)
    commands = re.findall(r"^ +bge (\S.*?)   ", prose, re.M)
    assert len(commands) == 2
    for command in commands:
        main._parser().parse_args(shlex.split(command))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.title)
def test_it_runs_with_random_weights_too(chapter: Chapter, tiny: object) -> None:
    bert = Bert(str(tiny), threads=2, offline=True)
    assert all("".join(page.render(bert)) for page in chapter.pages)
