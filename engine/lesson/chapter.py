"""`Chapter` and `Page`: prose, code as it stands in its file, and what that code prints."""

import inspect
import io
import textwrap
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from engine.lesson.bert import Bert
from engine.lesson.exercise import Exercise

WIDTH = 80  # characters of a line of prose
INDENT = "  "


@dataclass(frozen=True)
class Page:
    """One step of a chapter.

    text: paragraphs, between blank lines; one that is indented keeps its lines.
    shown: functions whose source is shown only. run: one whose source is shown, and what it prints;
    it takes nothing, or the `Bert` to compute with.
    """

    text: str
    shown: tuple[Callable[..., object], ...] = ()
    run: Callable[..., None] | None = None

    @property
    def needs_model(self) -> bool:
        return self.run is not None and bool(inspect.signature(self.run).parameters)

    def render(self, bert: Bert | None) -> Iterator[str]:
        """The page in parts; the last one is computed after the others were taken.

        Without a Bert, what needs one is shown and not run.
        """
        yield _wrapped(self.text)
        for function in (*self.shown, *([self.run] if self.run else [])):
            yield "\n" + _indented(source(function))
        if self.run and self.needs_model and not bert:
            yield "\nnot run, because it needs a model\n"
        elif self.run:
            with redirect_stdout(io.StringIO()) as out:
                self.run(*[bert] * self.needs_model)
            yield "\nprints\n\n" + _indented(out.getvalue())


@dataclass(frozen=True)
class Chapter:
    title: str
    pages: tuple[Page, ...]
    exercise: Exercise

    @property
    def needs_model(self) -> bool:
        return any(page.needs_model for page in self.pages)


def source(function: Callable[..., Any]) -> str:
    """The function as it stands in its file."""
    return textwrap.dedent(inspect.getsource(function))


def _wrapped(text: str) -> str:
    paragraphs = textwrap.dedent(text).strip("\n").split("\n\n")
    return (
        "\n\n".join(
            paragraph if paragraph.startswith(" ") else _filled(paragraph)
            for paragraph in paragraphs
        )
        + "\n"
    )


def _filled(paragraph: str) -> str:
    """Lines of at most WIDTH characters; a formula such as "K = 2" is not broken."""
    unbroken = " ".join(paragraph.split()).replace(" = ", "\xa0=\xa0")
    return textwrap.fill(unbroken, WIDTH).replace("\xa0", " ")


def _indented(lines: str) -> str:
    return textwrap.indent(lines, INDENT)
