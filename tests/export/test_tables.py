"""The rows of an output, in each of its formats and types."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import EngineError, InputError
from engine.export.tables import Tables, values, vectors_of
from tests.export.corpus import COLUMNS, DIM, ROWS, VECTORS, output
from tests.search.outputs import DTYPES, FORMATS, write_output


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_are_float32_whatever_the_job_stored(tmp_path: Path, form: str, dtype: str) -> None:
    tables = Tables(write_output(tmp_path / "out", VECTORS, format=form, dtype=dtype))
    parts = list(tables)
    assert [len(part) for part in parts] == [50, 50, 20] and tables.count == ROWS
    assert parts[0].column("embedding").type == pa.list_(pa.float32(), DIM)
    found = np.concatenate([vectors_of(part) for part in parts])
    # int8: half a step of 1/127 of the largest number; float16: half a unit of its 11 bits
    bar = {"float32": 0, "float16": 2**-12, "int8": 0.5 / 127}[dtype]
    assert np.abs(found - VECTORS).max() <= bar
    assert pa.concat_tables(parts).column("id").to_pylist() == list(range(ROWS))


def test_the_columns_of_parquet_keep_their_types(tmp_path: Path) -> None:
    tables = Tables(output(tmp_path / "out"))
    assert tables.columns.names == ["id", *COLUMNS]
    assert tables.columns.field("year").type == pa.int16()
    assert tables.columns.field("lang").type == pa.string()  # decoded
    found = pa.concat_tables(tables)
    for name in tables.columns.names[1:]:
        expected = pa.table({name: COLUMNS[name]}).column(name)
        assert found.column(name).to_pylist() == expected.to_pylist(), name


def test_the_columns_of_json_lines_are_numbers_booleans_and_texts(tmp_path: Path) -> None:
    tables = Tables(output(tmp_path / "out", format="npy"))
    kinds = {field.name: str(field.type) for field in tables.columns}
    assert kinds == {
        "id": "int64", 'title "x"': "string", "year": "int16", "good": "bool", "price": "double",
        **dict.fromkeys(("big", "day", "moment", "amount", "tags", "raw", "lang"), "string"),
    }  # fmt: skip
    row = pa.concat_tables(tables).slice(1, 1).to_pylist()[0]
    assert (row["id"], row["year"], row["good"], row["price"]) == (1, 1901, False, 1 / 3)
    assert (row["big"], row["day"], row["tags"]) == (str(2**64 - 1), "2026-11-27", '["a", "é"]')


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([1, None], pa.int8()), [1, None]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([0.5, None], pa.float32()), [0.5, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array(["a", None], pa.large_string()), ["a", None]),
        (pa.array([b"\xff"], pa.binary(1)), [b"\xff"]),
        (pa.array([None, None]), [None, None]),
        (pa.array([1], pa.timestamp("ns")), ["1970-01-01 00:00:00.000000001"]),
        (pa.array([1], pa.timestamp("s", "UTC")), ["1970-01-01 00:00:01Z"]),
        (pa.array([0, None], pa.date32()), ["1970-01-01", None]),
        (pa.array([{"a": [1, None]}, None]), ['{"a": [1, null]}', None]),
    ],
)
def test_values_are_what_databases_take(column: pa.Array, expected: list[object]) -> None:
    assert values(pa.chunked_array([column])) == expected


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    empty = write_output(tmp_path / "empty", VECTORS[:0])
    with pytest.raises(InputError, match="has no rows, so there is nothing to export"):
        Tables(empty)
    with pytest.raises(InputError, match="is not the output of `bge job`"):
        Tables(tmp_path / "none")
    with pytest.raises(EngineError, match="has not finished"):
        Tables(write_output(tmp_path / "half", VECTORS, finish=False))


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_shard_is_named(tmp_path: Path, form: str) -> None:
    out = write_output(tmp_path / "out", VECTORS, format=form)
    path = (
        out / {"parquet": "part-000000-000001.parquet", "npy": "part-000000-000001.ids.jsonl"}[form]
    )
    path.write_bytes(b"x" * path.stat().st_size)
    tables = iter(Tables(out))
    next(tables)
    with pytest.raises(EngineError, match=r"part-000000-000001 cannot be read .*--verify"):
        next(tables)


def test_an_output_that_is_replaced_meanwhile_is_not_exported(tmp_path: Path) -> None:
    tables = iter(Tables(write_output(tmp_path / "out", VECTORS)))
    next(tables)
    for name in ("out", "out.job"):
        shutil.rmtree(tmp_path / name)
    write_output(tmp_path / "out", -VECTORS, inputs=[{"name": "another"}])
    with pytest.raises(EngineError, match="was replaced while it was read; export it again"):
        list(tables)
