"""The columns beside the vectors: those of the rows found, and conditions that rows must meet."""

import itertools
import json
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.errors import InputError
from engine.jobs.options import EMBEDDING, SCALE
from engine.search.output import Output, Shard

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "!=": operator.ne, "<=": operator.le, ">=": operator.ge, "==": operator.eq,
    "=": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
NUMBER = r"^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
CONDITION = re.compile(rf"\s*(.+?)\s*({'|'.join(OPERATORS)})\s*(.*?)\s*", re.DOTALL)
# One condition or several, all of which must hold; or an expression of pyarrow.compute.
Where: TypeAlias = "str | Sequence[str] | pc.Expression"


class Columns:
    """The columns of an output other than the vectors; they are read from its files when used."""

    def __init__(self, output: Output) -> None:
        self._npy = output.manifest["format"] == "npy"

    def of_rows(self, shard: Shard, rows: NDArray[np.int64]) -> list[dict[str, Any]]:
        """The columns of these rows of a shard, counted from 0."""
        if self._npy:
            wanted = set(rows.tolist())
            lines = {n: line for n, line in enumerate(_lines(shard)) if n in wanted}
            return [json.loads(lines[row]) for row in rows.tolist()]
        with pq.ParquetFile(shard.file(".parquet")) as file:
            table = file.read(columns=_names(file.schema_arrow))
        return list(table.take(pa.array(rows)).to_pylist())

    def mask(self, shard: Shard, where: Where) -> NDArray[np.bool_]:
        """For each row of a shard whether it meets the conditions; null meets none.

        InputError: a column, a value or an expression does not fit.
        """
        table = ds.dataset(self._source(shard))
        names = _names(table.schema)
        expression = where if isinstance(where, pc.Expression) else all_of(where, table.schema)
        try:
            met = table.to_table(columns={"met": expression}).column("met")
            if not pa.types.is_boolean(met.type):
                raise InputError(f"where is of type {met.type}; give a condition: true or false.")
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f"where {str(where)!r}: {error}. Columns: {', '.join(names)}."
            ) from error
        return np.asarray(met.fill_null(False).to_numpy(), np.bool_)

    def _source(self, shard: Shard) -> Any:
        if not self._npy:
            return shard.file(".parquet")
        return pa.Table.from_pylist([json.loads(line) for line in _lines(shard)])


def all_of(where: str | Sequence[str], schema: pa.Schema) -> pc.Expression:
    """The expression of conditions such as "year >= 2020", all of which must hold."""
    conditions = [where] if isinstance(where, str) else list(where)
    expression = pc.scalar(True)
    for condition in conditions:
        expression = expression & _expression(condition, schema)
    return expression


def _expression(condition: str, schema: pa.Schema) -> pc.Expression:
    parts = CONDITION.fullmatch(condition)
    if not parts:
        raise InputError(
            f"where {condition!r} is not a condition; write COLUMN=VALUE, or with one of "
            f"{' '.join(OPERATORS)}"
        )
    name, sign, text = parts.groups()
    if name not in _names(schema):
        raise InputError(
            f"where {condition!r}: the output has no column {name!r}; it has "
            f"{', '.join(_names(schema))}. `bge job --keep` copies columns to it."
        )
    kind, field = schema.field(name).type, pc.field(name)
    if pa.types.is_null(kind):
        return pc.scalar(False)
    if kind == pa.string() and sign[0] in "<>" and re.fullmatch(NUMBER, text):
        # Columns of text files and JSON are strings: "9" is less than "10", as numbers are.
        number = pc.match_substring_regex(field, NUMBER)
        kind, field = pa.float64(), pc.if_else(number, field, pa.scalar(None, kind)).cast("double")
    try:
        value = pa.scalar(_unquoted(text)).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"where {condition!r}: {text!r} is not a value of column {name!r}, which is {kind}."
        ) from error
    return OPERATORS[sign](field, value)


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in (EMBEDDING, SCALE)]


def _lines(shard: Shard) -> Iterator[bytes]:
    with shard.file(".ids.jsonl").open("rb") as lines:
        yield from itertools.islice(lines, shard.rows)
