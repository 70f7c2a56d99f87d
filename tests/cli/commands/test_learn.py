"""`bge learn`: the list, chapters, exercises, with and without a terminal."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.lesson.bert import Bert
from engine.lesson.chapters import CHAPTERS
from tests.cli.command import TINY, Run, on_a_terminal
from tests.support.paths import ROOT

HERE = ["--model", TINY, "--offline"]
NOWHERE = {
    "BGE_WEIGHTS": "/nonexistent",
    "HF_HOME": "/nonexistent",
    "XDG_CACHE_HOME": "/nonexistent",
}


def test_the_list(bge: Run) -> None:
    run = bge("learn")
    assert (run.status, run.err) == (0, "")
    for number, chapter in enumerate(CHAPTERS, 1):
        needs = "yes" if chapter.needs_model else "no"
        assert re.search(rf"^ ?{number}  {re.escape(chapter.title)} +{needs}$", run.out, re.M)
    assert max(map(len, run.out.splitlines())) <= 80
    assert "The model is all-MiniLM-L6-v2;" in run.out
    assert "The model is tiny;" in bge("learn", "--model", "tiny").out


@pytest.mark.parametrize("number", [1, 5])
def test_a_chapter_without_a_terminal(bge: Run, number: int) -> None:
    run, chapter = bge("learn", str(number), *HERE), CHAPTERS[number - 1]
    assert (run.status, run.err) == (0, "")
    at = run.out.index(f"Chapter {number}. {chapter.title}\n")
    for page in chapter.pages:
        at = run.out.index("".join(page.render(Bert(TINY, offline=True))), at)
    assert "Exercise. " in run.out[at:]
    assert run.out.endswith(f"\n\nTo check an answer: bge learn {number} --answer 'A'\n")
    assert ("Computed with tiny." in run.out) == chapter.needs_model
    assert not re.search("[\x00-\x09\x0b-\x1f]", run.out)


@pytest.mark.parametrize("number", range(1, 11))
def test_answers(bge: Run, number: int) -> None:
    exercise = CHAPTERS[number - 1].exercise
    right = bge("learn", str(number), "--answer", str(exercise.answer))
    assert (right.status, right.out, right.err) == (0, "Right.\n", "")
    for wrong in ("", "nan", "word", "-3.5", *map(str, exercise.mistakes)):
        run = bge("learn", str(number), f"--answer={wrong}")
        assert (run.status, run.err) == (1, "") and len(run.out) > 10, wrong
        assert " ".join(run.out.split()) == exercise.why_wrong(wrong)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["11"], "there is no chapter 11; give 1 to 10"),
        (["0"], "'0' is not a positive integer"),
        (["two"], "'two' is not a positive integer"),
        (["--answer", "3"], "--answer needs the chapter: bge learn 1 --answer 0.5"),
        (["1", "2"], "unrecognized arguments: 2"),
    ],
)
def test_wrong_usage(bge: Run, words: list[str], complaint: str) -> None:
    run = bge("learn", *words)
    assert run.status == 2 and run.out == "" and complaint in run.err


@pytest.mark.slow
def test_without_any_checkpoint() -> None:
    """The first chapter needs none; others are shown with --no-model, and refused without it."""

    def learn(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "engine", "learn", *words, "--offline"]
        environ = {**os.environ, **NOWHERE}
        return subprocess.run(command, cwd="/", env=environ, capture_output=True, text=True)

    first, refused, shown = learn("1"), learn("5"), learn("5", "--no-model")
    assert (first.returncode, first.stderr) == (0, "") and "To check an answer" in first.stdout
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "all-MiniLM-L6-v2" in refused.stderr
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "heads: 2 first token: [1. 1. 2. 2.]" in shown.stdout
    assert shown.stdout.count("not run, because it needs a model") == 1


def with_a_reader(*words: str, types: bytes) -> tuple[int, str]:
    """The exit status and what is seen, for a reader on a terminal who types this; 4 is Ctrl-D."""
    person, terminal = pty.openpty()
    command = [sys.executable, "-m", "engine.lesson", *words]
    with subprocess.Popen(command, cwd=ROOT, stdin=terminal, stdout=terminal, stderr=terminal) as p:
        os.close(terminal)
        os.write(person, types)
        seen = b""
        while piece := _read(person):
            seen += piece
        os.close(person)
        return p.wait(60), seen.decode().replace("\r\n", "\n")


def _read(person: int) -> bytes:
    try:
        return os.read(person, 4096)
    except OSError:  # Linux says EIO when the other side has been closed
        return b""


def test_page_by_page_and_an_exercise_until_it_is_right() -> None:
    pages = len(CHAPTERS[0].pages)
    answer = f"{CHAPTERS[0].exercise.answer:.2f}".encode()
    status, seen = with_a_reader("1", types=b"\n" * pages + b"0.9\nnan\n" + answer + b"\n")
    assert status == 0 and seen.count("Enter: go on, q: leave") == pages
    assert seen.count("Your answer (Enter: leave)") == 3
    assert seen.index("0.9 is too large.") < seen.index("'nan' is not a") < seen.index("Right.")
    assert "\x1b" not in seen.replace("\x1b[?2004h", "").replace("\x1b[?2004l", "")  # readline's


@pytest.mark.parametrize("types", [b"q\n", b"\x04"])
def test_leaving_after_the_first_page(types: bytes) -> None:
    status, seen = with_a_reader("1", types=types)
    assert status == 0 and seen.count("Enter: go on") == 1 and "Exercise." not in seen


@pytest.mark.parametrize("types", [b"\n", b"0.1\n\n", b"\x04"])
def test_leaving_the_exercise(types: bytes) -> None:
    status, seen = with_a_reader("1", types=b"\n" * len(CHAPTERS[0].pages) + types)
    assert status == 0 and "Your answer" in seen and "Right." not in seen


def test_python_m_engine_lesson_is_the_same(bge: Run) -> None:
    command = [sys.executable, "-m", "engine.lesson"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == bge("learn").out


def test_nothing_of_the_working_directory_is_imported(tmp_path: Path) -> None:
    for name in ("numpy", "argparse", "textwrap", "inspect"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    command = [sys.executable, "-m", "engine.lesson", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_lesson_is_imported_by_no_other_command() -> None:
    code = (
        "import sys; from engine.cli.main import main; main(['models'])\n"
        "assert 'engine.lesson' not in sys.modules"
    )
    assert on_a_terminal(sys.executable, "-c", code)
