"""Parquet files that are refused, and what their columns become."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import EngineError, InputError
from engine.jobs.options import Fields, parse_template
from engine.jobs.reading import lines
from engine.jobs.reading.blocks import Block
from engine.jobs.reading.columnar import parquet_blocks, parquet_schema
from engine.jobs.reading.inputs import Source
from engine.jobs.reading.readers import blocks
from engine.jobs.reading.row_text import BadRow
from tests.jobs.support import job

FIELDS = Fields(parse_template("text"), "id", ("n",))


def source(path: Path, *columns: tuple[str, pa.Array]) -> Source:
    if columns:
        names = [name for name, _ in columns]
        pq.write_table(pa.Table.from_arrays([array for _, array in columns], names), path)
    return Source(str(path), "parquet", path.stat().st_size)


def test_carried_columns_keep_plain_types_and_rows_their_numbers(tmp_path: Path) -> None:
    made = source(
        tmp_path / "a.parquet",
        ("text", pa.array(["a", None, "c"]).dictionary_encode()),
        ("n", pa.array([1, 2, 3], pa.int16())),
        ("id", pa.array(["x", "y", None]).dictionary_encode()),
    )
    assert parquet_schema(made, FIELDS) == pa.schema([("id", pa.string()), ("n", pa.int16())])
    (block,) = parquet_blocks(made, FIELDS)
    assert list(block.rows) == [0, 1, 2] and block.position == made.size
    assert block.texts[0] == "a"
    assert block.texts[1:] == [BadRow("'text' is null", "y"), BadRow("'id' is null or not UTF-8")]
    assert block.columns.to_pylist()[0] == {"id": "x", "n": 1}


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    text = ("text", pa.array(["a"]))
    for name in ("text", "id", "n"):
        twice = (name, pa.array(["b"]))
        rest = [(other, pa.array(["c"])) for other in ("id", "n") if other != name]
        made = source(tmp_path / "a.parquet", text, twice, twice, *rest)
        with pytest.raises(InputError, match=f"{2 + (name == 'text')} columns '{name}'; rename"):
            parquet_schema(made, FIELDS)
    unused = ("other", pa.array([1]))
    made = source(tmp_path / "a.parquet", text, unused, unused, ("id", text[1]), ("n", text[1]))
    assert parquet_schema(made, FIELDS).names == ["id", "n"]


def test_a_text_is_bounded_as_in_other_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 1000)
    rows = pa.array(["a", "b" * 1001])
    made = source(tmp_path / "a.parquet", ("text", rows), ("id", rows), ("n", rows))
    (block,) = parquet_blocks(made, FIELDS)
    assert block.texts == ["a", BadRow(lines.too_long("text"), "b" * 1001)]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def no_footer(data: bytes) -> bytes:
    return data[:-100] + bytes(92) + data[-8:]


@pytest.mark.parametrize("damage", [lambda data: b"junk", lambda data: b"", cut, no_footer])
@pytest.mark.parametrize("read", [parquet_schema, lambda s, f: list(blocks(s, f))])
def test_what_is_no_parquet_is_refused_by_name(
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    read: Callable[[Source, Fields], list[Block]],
) -> None:
    path = tmp_path / "a.parquet"
    text = pa.array([f"text {n}" for n in range(100)])
    source(path, ("text", text), ("id", text), ("n", text))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EngineError, match=r"input '.*a.parquet' cannot be read completely: "):
        read(source(path), FIELDS)


def test_a_job_says_so_and_leaves_no_output(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"junk")
    with pytest.raises(EngineError, match="cannot be read completely"):
        job(tmp_path / "a.parquet", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_csv_header_with_one_name_twice_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,text\na,b\n")
    with pytest.raises(InputError, match="has 2 columns 'text'; rename all but one"):
        list(blocks(Source(str(tmp_path / "a.csv"), "csv", 14), Fields(FIELDS.text, None, ())))
