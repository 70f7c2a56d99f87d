"""An output as a table of LanceDB, with the types that its columns have. To read it:

    lancedb.connect("folder").open_table("documents").search(vector).limit(5).to_arrow()

A table that is replaced stays in the folder as an earlier version until `Table.optimize` removes
it.
"""

from collections.abc import Iterator
from pathlib import Path

import lancedb
import pyarrow as pa

from engine.errors import EngineError, InputError
from engine.export.tables import Tables
from engine.jobs.options import EMBEDDING


def write_lance(tables: Tables, folder: Path, table: str, replace: bool) -> None:
    """Write `table` in `folder`. InputError: it is there."""
    schema = tables.columns.append(pa.field(EMBEDDING, pa.list_(pa.float32(), tables.dim)))
    reader = pa.RecordBatchReader.from_batches(schema, _batches(tables))
    try:
        database = lancedb.connect(folder)
        there = _is_there(database, table)
        if there and not replace:
            raise InputError(
                f"the table {table} is there already; give another --table, or --replace."
            )
        database.create_table(table, reader, mode="overwrite" if there else "create")
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).partition(" Detail: Python exception")[0]  # without the traceback
        raise EngineError(f"{folder} cannot be written: {reason}") from error


def _is_there(database: lancedb.DBConnection, table: str) -> bool:
    """Whether it can be opened: a writer that was stopped leaves a folder of that name."""
    try:
        database.open_table(table)
    except ValueError:
        return False
    return True


def _batches(tables: Tables) -> Iterator[pa.RecordBatch]:
    for part in tables:
        yield from part.to_batches()
