"""`bge export`: a table from a job's output, and its errors."""

import sqlite3
from pathlib import Path

import pytest

from tests.cli.command import Run
from tests.search.outputs import unit, write_output


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_output(tmp_path_factory.mktemp("export") / "out", unit(3))


@pytest.mark.slow
def test_a_table(bge: Run, out: Path, tmp_path: Path) -> None:
    words = ["export", str(out), "--to", f"sqlite:///{tmp_path / 'a.db'}", "--table", "books"]
    run = bge(*words)
    assert (run.status, run.out, run.err) == (0, "", "3 rows in the table books\n")
    assert sqlite3.connect(tmp_path / "a.db").execute("SELECT id FROM books").fetchall() == [
        (0,), (1,), (2,),
    ]  # fmt: skip
    run = bge(*words)
    assert run.status == 1 and "the table books is there already" in run.err
    assert bge(*words, "--replace").status == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["OUT"], 2, "the following arguments are required: --to"),
        (["OUT", "--to", "mysql://me:secret@host/a"], 1, "the target begins with 'mysql'; give"),
        (["nowhere", "--to", "lancedb:never"], 1, "'nowhere' is not the output of `bge job`"),
    ],
)
def test_errors(bge: Run, out: Path, words: list[str], status: int, message: str) -> None:
    run = bge("export", *(str(out) if word == "OUT" else word for word in words))
    assert run.status == status and message in run.err and "secret" not in run.err
