"""What readers yield: some rows of a file at a time, and the errors of files as a whole."""

import csv
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from engine.errors import EngineError, InputError
from engine.jobs.options import Fields
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import Bad

BLOCK_ROWS = 1024
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Block:
    """Some neighbouring rows of one file: numbers, texts (or Bad), and the columns carried along.

    `rows` counts from 0 in the file; `columns` has one row a text; `position` is how many bytes of
    the file have been read.
    """

    source: Source
    rows: Sequence[int]
    texts: Sequence[str | Bad]
    columns: pa.RecordBatch
    position: int


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Turn what a damaged or unreadable file raises into an EngineError that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error, csv.Error, pa.ArrowException) as error:
        raise EngineError(f"input {source.name!r} cannot be read to its end: {error}") from error


def check_columns(source: Source, fields: Fields, there: Sequence[str]) -> None:
    """InputError unless each column that is asked for is there, once."""
    for name in fields.text.columns + fields.carried:
        if name not in there:
            raise InputError(f"input {source.name!r} has no column {name!r}; it has {there}")
        if there.count(name) > 1:
            raise InputError(
                f"input {source.name!r} has {there.count(name)} columns {name!r}; rename all but "
                "one of them"
            )
