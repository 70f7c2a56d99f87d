"""What must hold for every chapter; each chapter's own test calls it."""

import ast
import contextlib
import io
import re
import sys
from pathlib import Path
from typing import Any

from engine.lesson.bert import Bert
from engine.lesson.chapter import INDENT, WIDTH, Chapter, Page
from engine.lesson.exercise import Exercise

NEVER_RIGHT = ("", " ", "nan", "inf", "-inf", "1e9", "-7.5", "none", "a b c", "##", "0x10", "\0")


def check(chapter: Chapter, bert: Bert) -> list[str]:
    """Checks all pages and the exercise; gives what each page prints."""
    assert chapter.pages and len(chapter.title) < 60
    check_exercise(chapter.exercise)
    return [check_page(page, bert) for page in chapter.pages]


def check_page(page: Page, bert: Bert) -> str:
    """The shown code is the code that runs; its output is what is printed."""
    text, *parts = [*page.render(bert)]
    assert max(map(len, text.splitlines())) <= WIDTH
    for function in page.shown:
        assert plain(parts.pop(0)) == as_in_its_file(function)
    if not page.run:
        assert parts == []
        return ""
    code, output = parts
    assert plain(code) == as_in_its_file(page.run)
    assert max(map(len, code.splitlines())) <= WIDTH, page.run
    assert output.startswith("\nprints\n\n")
    printed = plain(output.removeprefix("\nprints\n\n"))
    assert printed and max(map(len, output.splitlines())) <= WIDTH, page.run
    assert printed == what_it_prints(plain(code), page, bert)
    return printed


def plain(shown: str) -> str:
    """Without the indentation, which every line must have."""
    lines = shown.strip("\n").split("\n")
    assert all(line.startswith(INDENT) for line in lines if line)
    return "\n".join(line.removeprefix(INDENT) for line in lines)


def as_in_its_file(function: Any) -> str:
    """Read from the file by its syntax tree."""
    text = Path(function.__code__.co_filename).read_text("utf-8")
    (found,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == function.__name__
    )
    return "\n".join(text.split("\n")[found.lineno - 1 : found.end_lineno])


def what_it_prints(code: str, page: Page, bert: Bert) -> str:
    """The shown text, compiled anew among the names of its module, and run."""
    assert page.run
    names = dict(vars(sys.modules[page.run.__module__]))
    exec(compile(code, "shown", "exec"), names)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        names[page.run.__name__](*[bert] * page.needs_model)
    return out.getvalue().strip("\n")


def check_exercise(exercise: Exercise) -> None:
    right = exercise.answer if isinstance(exercise.answer, str) else f"{exercise.answer:.6f}"
    assert exercise.why_wrong(right) is None
    if exercise.within:  # as many decimals as the question asks for
        assert "Two decimals" in exercise.question
        assert exercise.why_wrong(f"{exercise.answer:.2f}") is None
    for wrong in NEVER_RIGHT:
        assert exercise.why_wrong(wrong), wrong
    assert len(exercise.mistakes) >= 2
    for mistake, why in exercise.mistakes.items():
        assert exercise.why_wrong(str(mistake)) == why
    assert right not in exercise.hint


def numbers(printed: str) -> list[float]:
    """All numbers in a text, in order."""
    return [float(found) for found in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", printed)]
