"""Read Parquet files as blocks; copied columns keep their types."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.jobs.options import Fields
from engine.jobs.reading import lines
from engine.jobs.reading.blocks import BLOCK_ROWS, Block, check_columns, reading, shown_id
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.row_text import BadRow, compose
from engine.jobs.reading.streams import BUFFER_BYTES

Path = tuple[str, ...]  # of a nested column: its name at each level


def parquet_schema(source: Source, fields: Fields) -> pa.Schema:
    """Return the types of the copied columns.

    InputError: a column is missing, duplicate, or not of the type that it must have. EngineError:
    not a Parquet file.
    """
    types = _types(source, fields)
    for name in fields.text.columns:
        if not _holds_text(types[name]):
            raise InputError(
                f"input {source.name!r}: column {name!r} is of type {types[name]}; "
                "the text must come from string (or binary) columns"
            )
    for name, kind in fields.types.items():
        if _plain(types[name]) != pa.type_for_alias(kind):
            raise InputError(
                f"input {source.name!r}: column {name!r} is of type {types[name]}, not {kind}; "
                "Parquet columns keep their types, so name it without one"
            )
    return pa.schema([(name, _plain(types[name])) for name in fields.carried])


def _types(source: Source, fields: Fields) -> dict[str, pa.DataType]:
    """Return the types of the text's and the copied columns."""
    with reading(source), pq.ParquetFile(source.name) as file:
        schema = file.schema_arrow
    types = {
        name: pa.type_for_alias(fields.types.get(name, "string")) for name in source.partitions
    }
    known = schema.names + [name for name in source.partitions if name not in schema.names]
    for name in dict.fromkeys(fields.text.columns + fields.carried):
        if path := _path(schema, name):
            types[name] = _at(schema, path)
            if len(path) > 1:  # there as often as the struct around it
                known += [name] * schema.names.count(path[0])
    check_columns(source, fields, known)
    return types


def _path(schema: pa.Schema | pa.StructType, name: str) -> Path | None:
    """Find a column: "a.b" is the column "a.b", or else "b" within the struct "a"."""
    names = [field.name for field in schema]
    if name in names:
        return (name,)
    head, _, rest = name.partition(".")
    if not rest or head not in names:
        return None
    inner = _at(schema, (head,))
    path = _path(inner, rest) if pa.types.is_struct(inner) else None
    return path and (head, *path)


def _at(schema: pa.Schema | pa.StructType, path: Path) -> pa.DataType:
    kind: pa.DataType = schema
    for name in path:
        kind = next(field.type for field in kind if field.name == name)
    return kind


def parquet_blocks(source: Source, fields: Fields) -> Iterator[Block]:
    schema = parquet_schema(source, fields)
    names = list(dict.fromkeys(fields.text.columns + fields.carried))
    row = 0
    # Pages are read on demand: a row group as large as the file costs no more memory.
    with pq.ParquetFile(source.name, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
        total = max(file.metadata.num_rows, 1)
        paths = {name: _path(file.schema_arrow, name) for name in names}
        for batch in file.iter_batches(BLOCK_ROWS, columns=names, use_threads=False):
            rows = range(row, row + batch.num_rows)
            row = rows.stop
            columns = {name: _column(batch, path, name, source) for name, path in paths.items()}
            texts = _texts(columns, fields)
            carried = [_cast(columns[name], schema.field(name).type) for name in schema.names]
            copied = pa.RecordBatch.from_arrays(carried, schema=schema)
            yield Block(source, rows, texts, copied, source.size * row // total)


def _column(batch: pa.RecordBatch, path: Path | None, name: str, source: Source) -> pa.Array:
    """Return a column of the file, or, without a path, one that the folders' names give."""
    if path is None:
        return pa.array([source.partitions[name]] * batch.num_rows, pa.string())
    column = batch.column(path[0])
    for each in path[1:]:
        column = pc.struct_field(column, each)
    return column


def _texts(batch: dict[str, pa.Array], fields: Fields) -> list[str | BadRow]:
    columns = [_strings(batch[name]) for name in fields.text.columns]
    texts = [_bounded(compose(values, fields)) for values in zip(*columns, strict=True)]
    for name in fields.carried:
        for row in _bad_rows(batch[name], required=name == fields.id):
            if isinstance(texts[row], str):
                texts[row] = BadRow(f"{name!r} is null or not UTF-8")
    if fields.id:
        for row, text in enumerate(texts):
            if isinstance(text, BadRow):
                texts[row] = BadRow(text.reason, _id(batch[fields.id].slice(row, 1)))
    return texts


def _bounded(text: str | BadRow) -> str | BadRow:
    """Reject what the other formats cannot hold in a row."""
    long = isinstance(text, str) and len(text) > lines.MAX_ROW_BYTES
    return BadRow(lines.too_long("text")) if long else text


def _id(column: pa.Array) -> str | int | float | None:
    return shown_id(column[0]) if _is_valid(column) else None


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
