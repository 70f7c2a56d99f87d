"""The output of a job as Arrow tables, a shard each, and their values as databases take them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import EngineError, InputError
from engine.jobs.options import EMBEDDING, SCALE
from engine.jobs.writing.stored import Source
from engine.search.output import Shard, read_output
from engine.system.progress import Progress

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
PLAIN = ("string", "bool", "float", "double", *INTEGERS)  # types that come back from JSON


class Tables:
    """The shards of an output: its columns, then `embedding`, a list of `dim` float32."""

    def __init__(self, folder: Path, show_progress_bar: bool = False) -> None:
        """InputError and EngineError as `read_output`; InputError if there are no rows."""
        self._output = read_output(folder)
        self._shown = show_progress_bar
        self.count, self.dim = self._output.rows, int(self._output.manifest["dim"])
        if not self.count:
            raise InputError(f"{str(folder)!r} has no rows, so there is nothing to export.")
        self.columns = self._columns(self._output.shards[0]).schema  # without the vectors

    def __iter__(self) -> Iterator[pa.Table]:
        """EngineError: a shard cannot be read, or a job has replaced the output meanwhile."""
        with Progress(self.count, self._shown, unit="rows") as progress:
            for shard in self._output.shards:
                try:
                    table = self._read(shard)
                except (OSError, ValueError) as error:
                    raise EngineError(
                        f"{shard.stem} cannot be read ({error}). `bge job --verify` finds what is "
                        "damaged."
                    ) from error
                yield table
                progress.add(shard.rows)
        if read_output(self._output.folder) != self._output:
            raise EngineError(
                f"{str(self._output.folder)!r} was replaced while it was read; export it again."
            )

    def _read(self, shard: Shard) -> pa.Table:
        vectors = Source(shard.stem, shard.rows, self._output.manifest).read()
        values = vectors.values.astype(np.float32)  # a copy: a mapped file is not aligned
        if vectors.scales is not None:
            values *= vectors.scales[:, None]
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), self.dim)
        return self._columns(shard).append_column(EMBEDDING, lists)

    def _columns(self, shard: Shard) -> pa.Table:
        if self._output.manifest["format"] == "npy":
            return _from_lines(shard.file(".ids.jsonl"), self._output.manifest["columns"])
        with pq.ParquetFile(shard.file(".parquet")) as file:
            names = [name for name in file.schema_arrow.names if name not in (EMBEDDING, SCALE)]
            return _without_dictionaries(file.read(columns=names))


def _without_dictionaries(table: pa.Table) -> pa.Table:
    """Values in place of indices, by which older releases of LanceDB cannot filter."""
    types = {field.name: field.type for field in table.schema}
    plain = {n: t.value_type if pa.types.is_dictionary(t) else t for n, t in types.items()}
    return table.cast(pa.schema(plain))


def _from_lines(path: Path, columns: list[str]) -> pa.Table:
    """A file of JSON lines; columns: "name: type". Types that JSON does not have become text."""
    with path.open("rb") as lines:
        rows = [json.loads(line) for line in lines]
    arrays = {}
    for name, column in zip(rows[0], columns, strict=True):
        kind = column.removeprefix(f"{name}: ")
        values = [row[name] for row in rows]
        if kind not in PLAIN:
            kind, values = "string", [_text(value) for value in values]
        arrays[name] = pa.array(values, pa.type_for_alias(kind))
    return pa.table(arrays)


def values(column: pa.ChunkedArray) -> list[Any]:
    """A column as int, float, bool, str, bytes and None; other types as text, nested ones as JSON.

    An unsigned integer of 64 bits is text too, because databases have no such type.
    """
    kind, types = column.type, pa.types
    if types.is_nested(kind):
        return [_text(value) for value in column.to_pylist()]
    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    texts = types.is_string(kind) or types.is_large_string(kind)
    if kind == pa.uint64() or not (numbers or texts or is_binary(kind) or types.is_null(kind)):
        column = column.cast(pa.string())
    return list(column.to_pylist())


def is_binary(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)
    )


def vectors_of(table: pa.Table) -> Any:
    """The vectors of a table, (n, D) float32."""
    lists = table.column(EMBEDDING).combine_chunks()
    return lists.flatten().to_numpy().reshape(len(table), -1)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
