"""The output of a finished job, copied to a database: SQLite, PostgreSQL or LanceDB.

    from engine import export

    export.write("vectors/", "sqlite:///library.db", table="documents")

A module for each database: `sqlite` (with the extension sqlite-vec), `postgres` (with pgvector) and
`lance`. `tables` reads the output, shard by shard, so that memory does not grow with its rows.
Each writes in one transaction: readers see the old table or the new one.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError, InputError

if TYPE_CHECKING:
    from engine.export.tables import Tables

# A name that all three take without quotes, and PostgreSQL (63 bytes) with a suffix of ours.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
EXTRAS = {
    "apsw": "sqlite",
    "lancedb": "lancedb",
    "orjson": "postgres",
    "psycopg": "postgres",
    "pyarrow": "jobs",
    "sqlite_vec": "sqlite",
}


def write(
    folder: str | Path,
    to: str,
    *,
    table: str = "documents",
    replace: bool = False,
    show_progress_bar: bool = False,
) -> int:
    """Copy the output folder of a finished job to a new table; return the number of rows.

    to: "sqlite:///file.db", "postgresql://user@host/database" or "lancedb:FOLDER". The columns are
    those of the output; vectors are float32, also those that the job stored in fewer bytes.
    replace: whether a table of that name may be there; it stays until the new one is complete.
    InputError: the folder, `to` or `table` is not usable, or the table is there. EngineError: the
    database refuses, or a package is missing.
    """
    if not NAME.fullmatch(table):
        raise InputError(
            f"table {table!r}: a name has 1 to 40 letters, digits and underscores, and does not "
            "begin with a digit."
        )
    try:
        from engine.export.tables import Tables

        tables = Tables(Path(os.fspath(folder)), show_progress_bar)
        _write(tables, to, table, replace)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = EXTRAS[error.name]
        raise EngineError(
            f"export needs {error.name}: pip install 'bge-engine[{extra}]'"
        ) from error
    return tables.count


def _write(tables: "Tables", to: str, table: str, replace: bool) -> None:
    kind, _, rest = to.partition(":")
    if kind == "sqlite" and rest.startswith("///") and rest != "///":
        from engine.export.sqlite import write_sqlite

        write_sqlite(tables, Path(rest.removeprefix("///")), table, replace)
    elif kind in ("postgresql", "postgres") and rest.startswith("//"):
        from engine.export.postgres import write_postgres

        write_postgres(tables, to, table, replace)
    elif kind == "lancedb" and rest and "://" not in rest:
        from engine.export.lance import write_lance

        write_lance(tables, Path(rest), table, replace)
    else:  # only the kind is shown: the rest may hold a password
        raise InputError(
            f"the target begins with {kind[:20]!r}; give sqlite:///path/to/file, "
            "postgresql://user@host/database or lancedb:FOLDER."
        )
