"""The rows of every format but Parquet, and the types of their columns."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from engine.errors import InputError
from engine.jobs.options import Fields
from engine.jobs.reading.blocks import reading
from engine.jobs.reading.column_types import MISSING, common_type, type_name
from engine.jobs.reading.inputs import STDIN, Source
from engine.jobs.reading.json_rows import jsonl_rows
from engine.jobs.reading.lines import document_rows, text_rows
from engine.jobs.reading.row_text import BadRow, Rows, lookup
from engine.jobs.reading.separated import csv_rows
from engine.jobs.reading.streams import open_stream

SAMPLE_ROWS = 10_000
ROWS = {
    "text": text_rows, "document": document_rows, "jsonl": jsonl_rows, "csv": csv_rows,
    "tsv": csv_rows,
}  # fmt: skip


def rows(stream: io.BufferedReader, source: Source, fields: Fields) -> Rows:
    """Read rows; a column of the file hides one of the path's folders."""
    partitions = source.partitions
    for row, values in ROWS[source.format](stream, source, fields):
        if partitions and not isinstance(values, BadRow):
            values = {**partitions, **values}
        yield row, values


def with_types(sources: Sequence[Source], fields: Fields) -> Fields:
    """Return the fields with a type for each copied column of JSON, as its first rows need it.

    Columns with a declared type keep it. Standard input cannot be read twice, so the others are
    strings there. InputError: none of these rows has the column.
    """
    if any(source.format != "jsonl" or source.name == STDIN for source in sources):
        return fields
    optional = fields.text.columns if fields.null != "reject" else ()
    wanted = [name for name in (*optional, *fields.carried) if name not in fields.types]
    found: dict[str, set[str]] = {name: set() for name in wanted}
    nulls: set[str] = set()
    keys: dict[str, None] = {}
    for values in islice(_objects(sources, fields), SAMPLE_ROWS if wanted else 0):
        keys.update(dict.fromkeys(values))
        for name in wanted:
            value = lookup(values, name)
            if value is None:
                nulls.add(name)
            elif value is not MISSING:
                found[name].add(type_name(value))
    for name in wanted:
        if keys and not found[name] and name not in nulls:
            raise InputError(
                f"none of the first rows of {sources[0].name!r} has a {name!r}; they have "
                f"{list(keys)}. Check the name. A copied column may be declared: {name}:string."
            )
    types = {name: common_type(found[name]) for name in wanted if name in fields.carried}
    return replace(fields, types={**types, **fields.types})


def _objects(sources: Sequence[Source], fields: Fields) -> Iterator[dict[str, object]]:
    for source in sources:
        with reading(source), open_stream(source) as (stream, _):
            for _, values in rows(stream, source, fields):
                if not isinstance(values, BadRow):
                    yield values
