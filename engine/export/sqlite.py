"""An output as two tables of a SQLite file: its columns, and the vectors for sqlite-vec.

`documents` has a `rowid` from 1 and the columns of the output; any SQLite reads it.
`documents_vec` is a virtual table of the extension sqlite-vec, with the same `rowid`:

    SELECT d.*, distance FROM documents_vec AS v JOIN documents AS d ON d.rowid = v.rowid
    WHERE embedding MATCH ? AND k = 5 AND v.rowid IN (SELECT rowid FROM documents WHERE year > 2020)
    ORDER BY distance

The columns are not in the virtual table, which takes no NULL there and 16 columns at most. All is
one transaction; meanwhile readers go on where the file is in WAL mode, and wait where it is not.
`apsw` is used because Python's own `sqlite3` is often built without extensions.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pyarrow as pa
import sqlite_vec

from engine.errors import EngineError, InputError
from engine.export.tables import Tables, is_binary, values, vectors_of
from engine.jobs.options import EMBEDDING

ROWID = "rowid"
WAIT_MS = 30_000  # for another process that writes


def write_sqlite(tables: Tables, path: Path, table: str, replace: bool) -> None:
    """Write `table` and `table`_vec. InputError: they are there, or a column is named rowid."""
    if ROWID in (name.lower() for name in tables.columns.names):
        raise InputError(f"a column is named {ROWID}, which SQLite needs for itself.")
    try:
        connection = apsw.Connection(str(path.absolute()))  # never ":memory:" or "file:"
        try:
            connection.set_busy_timeout(WAIT_MS)
            connection.enable_load_extension(True)
            connection.load_extension(sqlite_vec.loadable_path())
            connection.enable_load_extension(False)
            connection.execute("BEGIN IMMEDIATE")
            _create(connection, tables, table, replace)
            _fill(connection, tables, table)
            connection.execute("COMMIT")
        finally:
            connection.close()  # rolls back what is not committed
    except apsw.Error as error:
        raise EngineError(f"{path} cannot be written: {error}") from error


def _create(connection: apsw.Connection, tables: Tables, table: str, replace: bool) -> None:
    names = (table, f"{table}_vec")
    query = "SELECT name FROM sqlite_schema WHERE lower(name) IN (lower(?), lower(?))"
    found = [str(row[0]) for row in connection.execute(query, names)]
    if found and not replace:
        raise InputError(
            f"the table {found[0]} is there already; give another --table, or --replace."
        )
    for name in found:
        connection.execute(f'DROP TABLE "{name}"')
    columns = ", ".join(f"{_quoted(field.name)} {_type(field.type)}" for field in tables.columns)
    connection.execute(f'CREATE TABLE "{table}" ({ROWID} INTEGER PRIMARY KEY, {columns})')
    vector = f"{EMBEDDING} float[{tables.dim}] distance_metric=cosine"
    connection.execute(f'CREATE VIRTUAL TABLE "{table}_vec" USING vec0({vector})')


def _fill(connection: apsw.Connection, tables: Tables, table: str) -> None:
    places = ", ".join("?" * (1 + len(tables.columns)))
    first = 1
    for part in tables:
        connection.executemany(f'INSERT INTO "{table}" VALUES ({places})', _rows(part, first))
        insert = f'INSERT INTO "{table}_vec" ({ROWID}, {EMBEDDING}) VALUES (?, ?)'
        vectors = (row.tobytes() for row in vectors_of(part))
        connection.executemany(insert, enumerate(vectors, first))
        first += len(part)


def _rows(part: pa.Table, first: int) -> Iterator[tuple[Any, ...]]:
    columns = [values(part.column(name)) for name in part.column_names if name != EMBEDDING]
    return zip(range(first, first + len(part)), *columns, strict=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind) or (pa.types.is_integer(kind) and kind != pa.uint64()):
        return "INTEGER"
    if pa.types.is_floating(kind):
        return "REAL"
    return "BLOB" if is_binary(kind) else "TEXT"
