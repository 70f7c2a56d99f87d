"""Blocks of rows, which the readers yield, and errors that concern a whole file."""

import csv
import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from engine.errors import EngineError, InputError
from engine.jobs.options import Fields
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import BadRow

BLOCK_ROWS = 1024
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, csv.Error, UnicodeError, pa.ArrowException)


@dataclass(frozen=True)
class Block:
    """Consecutive rows of one file: their numbers, texts (or BadRow) and copied columns.

    `rows` counts from 0 in the file; `columns` has one row per text; `position` is the number of
    bytes of the file read so far.
    """

    source: Source
    rows: Sequence[int]
    texts: Sequence[str | BadRow]
    columns: pa.RecordBatch
    position: int


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Turn the errors of a damaged or unreadable file into an EngineError that names it."""
    try:
        yield
    except DAMAGE as error:
        raise EngineError(f"input {source.name!r} cannot be read completely: {error}") from error


def shown_id(value: pa.Scalar) -> str | int | float | None:
    """Return an id as the list of rejected rows shows it, which is JSON."""
    plain = value.as_py()
    return plain if plain is None or isinstance(plain, str | int | float) else str(plain)


def check_columns(source: Source, fields: Fields, columns: Sequence[str]) -> None:
    """InputError unless each requested column exists exactly once."""
    for name in fields.text.columns + fields.carried:
        if name not in columns:
            raise InputError(f"input {source.name!r} has no column {name!r}; it has {columns}")
        if columns.count(name) > 1:
            raise InputError(
                f"input {source.name!r} has {columns.count(name)} columns {name!r}; rename all but "
                "one of them"
            )


def carried_schema(fields: Fields) -> pa.Schema:
    """Return the types of the copied columns, for formats whose columns have none."""
    return pa.schema(
        [(name, pa.type_for_alias(fields.types.get(name, "string"))) for name in fields.carried]
    )
