"""Read Parquet files as blocks; copied columns keep their types."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.jobs.options import Fields
from engine.jobs.reading.blocks import BLOCK_ROWS, BUFFER_BYTES, Block, check_columns, reading
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import BadRow, compose


def parquet_schema(source: Source, fields: Fields) -> pa.Schema:
    """Return the types of the copied columns.

    InputError: a column is missing, duplicate, or not text. EngineError: not a Parquet file.
    """
    with reading(source), pq.ParquetFile(source.name) as file:
        schema = file.schema_arrow
    check_columns(source, fields, schema.names)
    for name in fields.text.columns:
        if not _holds_text(schema.field(name).type):
            raise InputError(
                f"input {source.name!r}: column {name!r} is of type {schema.field(name).type}; "
                "the text must come from string (or binary) columns"
            )
    return pa.schema([(name, _plain(schema.field(name).type)) for name in fields.carried])


def parquet_blocks(source: Source, fields: Fields) -> Iterator[Block]:
    schema = parquet_schema(source, fields)
    names = list(dict.fromkeys(fields.text.columns + fields.carried))
    row = 0
    # Pages are read on demand: a row group as large as the file costs no more memory.
    with pq.ParquetFile(source.name, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
        total = max(file.metadata.num_rows, 1)
        for batch in file.iter_batches(BLOCK_ROWS, columns=names, use_threads=False):
            rows = range(row, row + batch.num_rows)
            row = rows.stop
            texts = _texts(batch, fields)
            columns = [_cast(batch.column(name), schema.field(name).type) for name in schema.names]
            carried = pa.RecordBatch.from_arrays(columns, schema=schema)
            yield Block(source, rows, texts, carried, source.size * row // total)


def _texts(batch: pa.RecordBatch, fields: Fields) -> list[str | BadRow]:
    columns = [_strings(batch.column(name)) for name in fields.text.columns]
    texts = [compose(values, fields) for values in zip(*columns, strict=True)]
    for name in fields.carried:
        for row in _bad_rows(batch.column(name), required=name == fields.id):
            if isinstance(texts[row], str):
                texts[row] = BadRow(f"{name!r} is null or not UTF-8")
    return texts


def _strings(column: pa.Array) -> list[object]:
    """Decode a text column; a value that is not UTF-8 becomes a string that `compose` rejects."""
    raw = _cast(column, pa.large_binary()).to_pylist()
    return [value if value is None else value.decode(errors="surrogateescape") for value in raw]


def _bad_rows(column: pa.Array, required: bool) -> list[int]:
    null = column.is_null().to_pylist() if required and column.null_count else []
    bad = {row for row, is_null in enumerate(null) if is_null}
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        bad.update(row for row in range(len(column)) if not _is_valid(column.slice(row, 1)))
    return sorted(bad)


def _is_valid(column: pa.Array) -> bool:
    try:
        pa.concat_arrays([column]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _holds_text(kind: pa.DataType) -> bool:
    plain = _plain(kind)
    return pa.types.is_large_string(plain) or pa.types.is_string(plain) or _is_binary(plain)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    """Unwrap dictionaries and views: the encoding of the input must not change the shards."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if kind == pa.string_view():
        return pa.string()
    return kind


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column if column.type == kind else column.cast(kind)
