"""`bge search`: rows as a table or as JSON lines, and its errors."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.command import TINY, Run, on_a_terminal
from tests.jobs.support import job

ROWS = [
    {"key": "a", "text": "a cat sleeps\nin the sun " + "and sleeps " * 30, "lang": "en"},
    {"key": "b", "text": "a kitten plays", "lang": "en"},
    {"key": "c", "text": "eine Katze", "lang": "de"},
]
MODEL = ["--model", TINY, "--offline"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    words = ["--id", "key", "--keep", "text,lang", "--prompt", "", "--quiet"]
    job(folder / "in.jsonl", "-o", folder / "out", *words)
    return folder / "out"


def test_jsonl_in_a_pipe(bge: Run, out: Path) -> None:
    run = bge("search", str(out), "a kitten plays", "--prompt", "", *MODEL)
    assert (run.status, run.err) == (0, "")
    hits = [json.loads(line) for line in run.out.splitlines()]
    assert hits[0]["score"] == pytest.approx(1)
    assert hits[0]["columns"] == ROWS[1]
    assert sorted(hit["columns"]["key"] for hit in hits) == ["a", "b", "c"]
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)


def test_conditions_and_count(bge: Run, out: Path) -> None:
    words = ["search", str(out), "Katze", "--where", "lang!=de", *MODEL]
    keys = [json.loads(line)["columns"]["key"] for line in bge(*words).out.splitlines()]
    assert sorted(keys) == ["a", "b"]
    assert len(bge(*words, "-k", "1").out.splitlines()) == 1
    none = bge(*words, "--where", "key=c")
    assert (none.status, none.out) == (0, "")
    assert (
        bge(*words, "--where", "key=c", "--format", "table").out == "no row meets the conditions\n"
    )


@pytest.mark.slow
def test_a_table_on_a_terminal(out: Path) -> None:
    words = [sys.executable, "-m", "engine", "search", str(out), "a cat", *MODEL]
    header, *lines = on_a_terminal(*words, columns=60).splitlines()
    assert header.split() == ["score", "key", "text"] and len(lines) == 3
    assert all(len(line) <= 60 for line in lines)
    (cat,) = [line for line in lines if line.split()[1] == "a"]
    assert "a cat sleeps in the sun" in cat and cat.endswith("…")


def test_rows_without_an_id_are_named_by_file_and_row(bge: Run, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a cat\na dog\n")
    job(tmp_path / "in.txt", "-o", tmp_path / "out", "--prompt", "", "--quiet")
    words = ["search", str(tmp_path / "out"), "a dog", "--prompt", "", "--format", "table", *MODEL]
    header, first, _ = bge(*words).out.splitlines()
    assert header.split() == ["score", "file:row"]
    assert first.split()[0] == "1.0000" and first.endswith("in.txt:1")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "a"], "'nowhere' is not the output of `bge job`"),
        (
            ["OUT", "a", "--where", "size=5", "--model", TINY],
            "no column 'size'; it has key, text, lang",
        ),
        (["OUT", "a", "--model", "./none"], "There is no folder none"),
    ],
)
def test_errors(bge: Run, out: Path, words: list[str], message: str) -> None:
    run = bge("search", *(str(out) if word == "OUT" else word for word in words), "--offline")
    assert run.status == 1 and run.out == ""
    assert run.err.startswith("bge: error: ") and message in run.err


def test_wrong_usage(bge: Run, out: Path) -> None:
    assert bge("search", str(out)).status == 2
    assert bge("search", str(out), "a", "-k", "0").status == 2
