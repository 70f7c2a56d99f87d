"""Read each format as a stream of blocks, in bounded memory; bad rows are kept and marked."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from engine.jobs.options import Fields
from engine.jobs.reading.blocks import BLOCK_ROWS, Block, carried_schema, reading
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import BadRow, text_and_carried
from engine.jobs.reading.rows import rows
from engine.jobs.reading.streams import open_stream


def blocks(source: Source, fields: Fields) -> Iterator[Block]:
    """Read one source from start to end.

    InputError: a column is missing or duplicate. EngineError: the file is damaged or unreadable.
    """
    with reading(source):
        if source.format == "parquet":  # other formats do not need this library
            from engine.jobs.reading.columnar import parquet_blocks

            yield from parquet_blocks(source, fields)
        else:
            yield from _row_blocks(source, fields)


@dataclass
class _Gathered:
    """The rows of the next block."""

    rows: list[int] = field(default_factory=list)
    texts: list[str | BadRow] = field(default_factory=list)
    carried: list[list[Any]] = field(default_factory=list)

    def block(self, source: Source, fields: Fields, position: int) -> Block:
        schema = carried_schema(fields)
        columns = zip(*self.carried, strict=True)
        arrays = [
            pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        return Block(source, self.rows, self.texts, batch, position)


def _row_blocks(source: Source, fields: Fields) -> Iterator[Block]:
    with open_stream(source) as (stream, position):
        gathered = _Gathered()
        for row, values in rows(stream, source, fields):
            text, carried = text_and_carried(values, fields)
            gathered.rows.append(row)
            gathered.texts.append(text)
            gathered.carried.append(carried)
            if len(gathered.rows) == BLOCK_ROWS:
                yield gathered.block(source, fields, position())
                gathered = _Gathered()
        if gathered.rows:
            yield gathered.block(source, fields, position())
