"""`bge learn`: how the model works, in chapters that compute what they show."""

from __future__ import annotations

import sys
import textwrap
from argparse import ArgumentParser as Parser
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from engine.cli import outputs
from engine.cli.options import model_option, positive, run_options

if TYPE_CHECKING:
    from engine.lesson.chapter import Chapter
    from engine.lesson.exercise import Exercise

MODEL = "all-MiniLM-L6-v2"
WIDTH = 80  # characters
RIGHT = "Right."
WRONG = 1  # exit status


def describe(command: Parser) -> None:
    """Adds the arguments to the command's parser."""
    option = command.add_argument
    option(
        "chapter",
        nargs="?",
        type=positive,
        metavar="N",
        help="its number; without one, the list of chapters",
    )
    option("--answer", metavar="A", help="only check an answer: exit status 0 if right, 1 if wrong")
    option("--no-model", action="store_true", help="show what needs a model, but do not run it")
    model_option(command, MODEL)
    run_options(command)


def learn(options: Namespace) -> int:
    """Writes the list of chapters, or one of them, or judges an answer. Returns the exit status."""
    from engine.lesson.chapters import CHAPTERS

    number = options.chapter
    if number is None:
        if options.answer is not None:
            options.usage_error("--answer needs the chapter: bge learn 1 --answer 0.5")
        outputs.write_out(_contents(CHAPTERS, options.model))
        return 0
    if number > len(CHAPTERS):
        options.usage_error(f"there is no chapter {number}; give 1 to {len(CHAPTERS)}")
    chapter = CHAPTERS[number - 1]
    if options.answer is not None:
        wrong = chapter.exercise.why_wrong(options.answer)
        outputs.write_out([_paragraph(wrong or RIGHT)])
        return WRONG if wrong else 0
    _show(chapter, number, options)
    return 0


def _contents(chapters: tuple[Chapter, ...], model: str) -> Iterator[str]:
    rows = [
        [str(i), chapter.title, "yes" if chapter.needs_model else "no"]
        for i, chapter in enumerate(chapters, 1)
    ]
    yield "Each chapter shows code, runs it, and ends with an exercise.\n\n"
    yield outputs.table(["", "chapter", "needs a model"], rows, right=(0,))
    yield f"\nThe model is {model}; --model names another, --no-model does without.\n"
    yield "Begin with: bge learn 1\n"


def _show(chapter: Chapter, number: int, options: Namespace) -> None:
    """On a terminal it waits after each page, and asks the exercise."""
    from engine.lesson.bert import Bert

    bert, used = None, ""
    if chapter.needs_model and not options.no_model:
        bert = Bert(options.model, threads=options.threads, offline=options.offline)
        used = f"Computed with {bert.embedder.name}.\n"  # loaded here: if it cannot be, stop now
    outputs.write_out([f"Chapter {number}. {chapter.title}\n{used}\n"])
    asks = sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()
    for page in chapter.pages:
        outputs.write_out(page.render(bert))
        if asks and _line("\nEnter: go on, q: leave ") != "":
            return
        outputs.write_out(["\n"])
    outputs.write_out([_paragraph(f"Exercise. {chapter.exercise.question}")])
    if asks:
        _ask(chapter.exercise)
    else:
        outputs.write_out([f"\nTo check an answer: bge learn {number} --answer 'A'\n"])


def _ask(exercise: Exercise) -> None:
    """Until the answer is right, or the reader leaves."""
    while given := _line("\nYour answer (Enter: leave) "):
        wrong = exercise.why_wrong(given)
        outputs.write_out([_paragraph(wrong or RIGHT)])
        if not wrong:
            return


def _line(prompt: str) -> str | None:
    """What the reader types; None after Ctrl-D."""
    try:
        return input(prompt).strip()
    except EOFError:
        outputs.write_out(["\n"])
        return None


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH) + "\n"
