"""SQLite with sqlite-vec: the rows, the nearest rows, and readers while a table is replaced."""

import sqlite3
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
import sqlite_vec

from engine import export
from engine.errors import EngineError, InputError
from engine.export import sqlite as room
from tests.export.corpus import COLUMNS, ROWS, VECTORS, output
from tests.search.outputs import unit

NEAREST = """
    SELECT d.id, distance FROM documents_vec AS v JOIN documents AS d ON d.rowid = v.rowid
    WHERE embedding MATCH ? AND k = 5
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return output(tmp_path / "out")


def ask(file: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(file))
    connection.enable_load_extension(True)
    connection.load_extension(sqlite_vec.loadable_path())
    rows = [tuple(row) for row in connection.execute(query, values)]
    connection.close()
    return rows


def test_the_nearest_rows(tmp_path: Path, out: Path) -> None:
    file = tmp_path / "a.db"
    assert export.write(out, f"sqlite:///{file}") == ROWS
    query = unit(1, seed=1)[0]
    expected = 1 - VECTORS @ query
    found = ask(file, f"{NEAREST} ORDER BY distance", query.tobytes())
    assert [row[0] for row in found] == np.argsort(expected)[:5].tolist()
    assert np.allclose([row[1] for row in found], np.sort(expected)[:5], atol=1e-6)
    chosen = " AND v.rowid IN (SELECT rowid FROM documents WHERE lang = 'de')"
    found = ask(file, f"{NEAREST} {chosen} ORDER BY distance", query.tobytes())
    german = [row for row in np.argsort(expected) if row % 2 == 1]
    assert [row[0] for row in found] == german[:5]


def test_any_sqlite_reads_the_columns(tmp_path: Path, out: Path) -> None:
    export.write(out, f"sqlite:///{tmp_path / 'a.db'}", table="books")
    rows = sqlite3.connect(tmp_path / "a.db").execute("SELECT * FROM books").fetchall()
    assert [row[:2] for row in rows] == [(i + 1, i) for i in range(ROWS)]
    assert [row[2] for row in rows] == COLUMNS['title "x"']
    assert rows[5][3] is None and rows[6][3:] == (
        1906, 1, 2.0, "18446744073709551615", "2026-11-27", "2026-11-27 03:04:05.000678Z", "12.50",
        '["a", "é"]', b"\x00\xff\\", "en",
    )  # fmt: skip


def test_a_name_that_means_no_file_to_sqlite_is_a_file(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export.write(out, "sqlite:///:memory:")
    assert ask(tmp_path / ":memory:", "SELECT count(*) FROM documents") == [(ROWS,)]


def test_a_table_that_is_there_is_replaced_on_request(tmp_path: Path, out: Path) -> None:
    file = tmp_path / "a.db"
    export.write(out, f"sqlite:///{file}")
    with pytest.raises(InputError, match=r"the table documents is there already; .*--replace"):
        export.write(out, f"sqlite:///{file}", table="Documents")
    other = output(tmp_path / "other", unit(3, 8), columns=None)
    export.write(other, f"sqlite:///{file}", replace=True)
    assert ask(file, "SELECT id FROM documents") == [(0,), (1,), (2,)]
    assert ask(file, NEAREST, unit(1, 8).tobytes())[0][0] == 0


def test_readers_see_the_old_table_until_the_new_one_is_complete(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.db"
    export.write(out, f"sqlite:///{file}")
    fill = room._fill

    def interrupted(connection: apsw.Connection, *rest: Any) -> None:
        fill(connection, *rest)
        assert len(ask(file, "SELECT * FROM documents")[0]) == 2 + len(COLUMNS)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "_fill", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export.write(output(tmp_path / "other", columns=None), f"sqlite:///{file}", replace=True)
    assert len(ask(file, "SELECT * FROM documents")[0]) == 2 + len(COLUMNS)
    assert len(ask(file, NEAREST, VECTORS[0].tobytes())) == 5


@pytest.mark.parametrize(
    ("name", "message"),
    [("ROWID", "a column is named rowid"), ("ID", "cannot be written: .*duplicate column name")],
)
def test_column_names_that_sqlite_cannot_have(tmp_path: Path, name: str, message: str) -> None:
    out = output(tmp_path / "out", unit(2), columns={name: [1, 2]})
    with pytest.raises(EngineError, match=message):
        export.write(out, f"sqlite:///{tmp_path / 'a.db'}")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a.db").write_text("a letter " * 1000)
    with pytest.raises(EngineError, match=r"a\.db cannot be written: .*file is not a database"):
        export.write(out, f"sqlite:///{tmp_path / 'a.db'}", replace=True)
    assert (tmp_path / "a.db").read_text() == "a letter " * 1000
    with pytest.raises(EngineError, match="unable to open database file"):
        export.write(out, f"sqlite:///{tmp_path / 'none' / 'a.db'}")
