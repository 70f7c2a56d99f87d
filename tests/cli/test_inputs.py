"""Texts from CSV and TSV, and files that are not read as lines of text."""

import bz2
import csv
import gzip
import io
import lzma
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import engine
from engine.cli.inputs import open_texts
from tests.cli.command import HERE, Run


def read(folder: Path, content: bytes, name: str = "in.csv", field: str | None = None) -> list[str]:
    (folder / name).write_bytes(content)
    return list(open_texts([], str(folder / name), field))


def refusal(folder: Path, content: bytes, name: str = "in.csv", field: str | None = None) -> str:
    with pytest.raises(engine.InputError) as raised:
        read(folder, content, name, field)
    return str(raised.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_is_read_as_rfc_4180_says(tmp_path: Path, end: str, mark: str) -> None:
    texts = ["plain", "a, b", 'said "no"', "two\nlines", "", " blanks ", "東京", "nul\0"]
    with (tmp_path / "made.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(mark)
        writer = csv.writer(file, lineterminator=end)
        writer.writerows(
            [["id", "text", "body"], *([i, text, "-"] for i, text in enumerate(texts))]
        )
    content = (tmp_path / "made.csv").read_bytes()
    assert read(tmp_path, content) == texts
    assert read(tmp_path, content, field="id") == [str(i) for i in range(len(texts))]
    assert read(tmp_path, content, "IN.CSV") == texts


def test_tsv_has_tabs(tmp_path: Path) -> None:
    content = b'text\tn\na, b\t1\n"two\nlines"\t2\n\n'
    assert read(tmp_path, content, "in.tsv") == ["a, b", "two\nlines"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "line 1: no column 'text'; its columns are: none"),
        (b"id,body\n1,a\n", "line 1: no column 'text'; its columns are: 'id', 'body'"),
        (b"text,text\na,b\n", "line 1: two or more columns 'text'"),
        (b"id,text\n1,a\n\n2\n", "line 4: 1 fields; it must have 2, like the header"),
        (b'id,text\n1,"a\nb"\n2,c,d\n', "line 4: 3 fields; it must have 2, like the header"),
        (b'id,text\n1,a\n2,"open\n3,b\n4,c\n', "line 3: not CSV (unexpected end of data)"),
        (b'id,text\n1,"open\n2,"b"\n', "line 2: not CSV (',' expected after '\"')"),
        (b"id,text\n1,a\n2,\xe9\n", "line 3: not UTF-8 (byte 0xe9 at column 3)"),
    ],
)
def test_a_bad_csv_is_refused_by_line(tmp_path: Path, content: bytes, told: str) -> None:
    assert told in refusal(tmp_path, content)


def test_a_field_without_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.cli.inputs.MAX_FIELD", 1000)
    assert read(tmp_path, b"text\n" + b"x" * 1000) == ["x" * 1000]
    told = refusal(tmp_path, b'text\na\n"' + b"x" * 1001)
    assert "line 3: not CSV (field larger than field limit (1000))" in told


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("in.zip", "unpack it first"),
        ("in.xlsx", "save it as .csv, or as plain text, first"),
    ],
)
def test_what_is_not_text_is_refused_with_a_remedy(tmp_path: Path, name: str, remedy: str) -> None:
    assert f"{Path(name).suffix.lower()} files are not supported; " in refusal(
        tmp_path, b"a\n", name
    )
    assert remedy in refusal(tmp_path, b"a\n", name, "text")


def test_json_is_never_text(tmp_path: Path) -> None:
    assert read(tmp_path, b'{"text": "a"}\n', "in.json") == ["a"]
    assert read(tmp_path, b' [{"text": "a"},\n{"text": "b"}]', "in.json") == ["a", "b"]
    assert "in.json, row 0 (from 0): the row is a JSON str, not an object." in refusal(
        tmp_path, b'["a"]', "in.json"
    )
    assert read(tmp_path, b'{"body": "a"}\n', "in.txt", "body") == ["a"]
    assert read(tmp_path, b'{"body": "a"}\n', "in.txt") == ['{"body": "a"}']


PACKED = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: bytes(pa.Codec("zstd").compress(data, asbytes=True)),
}


@pytest.mark.parametrize("packing", PACKED)
def test_compressed_files_are_read_as_they_are_unpacked(tmp_path: Path, packing: str) -> None:
    for name, content, field in (
        ("a.txt", "eins\nzwei ü\n", None),
        ("a.log", "eins\nzwei ü\n", None),
        ("a.txt", '{"t": "eins"}\n{"t": "zwei ü"}', "t"),
        ("a.jsonl", '{"text": "eins"}\n{"text": "zwei ü"}', None),
        ("a.csv", 't,n\neins,1\n"zwei ü",2\n', "t"),
        ("a.tsv", "t\tn\neins\t1\nzwei ü\t2\n", "t"),
    ):
        packed = PACKED[packing](content.encode())
        assert read(tmp_path, packed, name + packing, field) == ["eins", "zwei ü"]
        assert read(tmp_path, content.encode(), name, field) == ["eins", "zwei ü"]


def test_parquet_is_read_and_a_null_is_refused(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "body": ["c", None]}), sink)
    assert read(tmp_path, sink.getvalue(), "in.parquet") == ["a", "b"]
    told = refusal(tmp_path, sink.getvalue(), "in.PQ", "body")
    assert "in.PQ, row 1 (from 0): 'body' is null." in told
    assert "has no column 'title'" in refusal(tmp_path, sink.getvalue(), "in.pq", "title")
    with pytest.raises(engine.EngineError, match="cannot be read completely"):
        read(tmp_path, b"junk", "in.parquet")


@pytest.mark.parametrize("name", ["in.parquet", "in.jsonl.gz"])
def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for module in [each for each in sys.modules if each.startswith("engine.jobs.reading.")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(
        engine.EngineError, match=r"needs pyarrow: pip install 'bge-engine\[jobs\]'"
    ):
        read(tmp_path, b"x", name)
    assert read(tmp_path, b"x", "in.txt") == ["x"]


def test_the_command_reads_csv(bge: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('text,n\n"a cat",1\n')
    assert bge("embed", *HERE, "--file", str(tmp_path / "in.csv")).out == (
        bge("embed", *HERE, "a cat").out
    )
    (tmp_path / "in.csv").write_text('text,n\n"a cat,1\nb,2\n')
    run = bge("embed", *HERE, "--file", str(tmp_path / "in.csv"), "-o", str(tmp_path / "o.csv"))
    assert run.status == 1 and "in.csv, line 2: not CSV" in run.err
    assert not (tmp_path / "o.csv").exists()


def test_a_markdown_file_is_one_text(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes("\ufeff# Title\n\nBody\n".encode())
    assert list(open_texts([], str(path), None)) == ["# Title\n\nBody\n"]
