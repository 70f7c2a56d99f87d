"""Files to rows: every format and compression, and every way in which a row can be bad."""

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EngineError, InputError
from engine.jobs.options import Fields, Template, parse_template
from engine.jobs.reading import inputs, lines, readers
from engine.jobs.reading.inputs import Source, find
from engine.jobs.reading.row_text import BadRow


def fields(text: str = "text", id: str | None = None, *keep: str) -> Fields:
    return Fields(parse_template(text), id, keep)


def read(path: Path, wanted: Fields, format: str | None = None) -> list[tuple[int, object]]:
    (source,) = find([str(path)], format, "elsewhere")
    return [
        (row, text)
        for block in readers.blocks(source, wanted)
        for row, text in zip(block.rows, block.texts, strict=True)
    ]


def carried(path: Path, wanted: Fields) -> list[dict[str, object]]:
    (source,) = find([str(path)], None, "elsewhere")
    return [row for block in readers.blocks(source, wanted) for row in block.columns.to_pylist()]


def reasons(rows: list[tuple[int, object]]) -> dict[int, str]:
    return {row: text.reason for row, text in rows if isinstance(text, BadRow)}


ROWS = [{"text": "one"}, {"text": 'two, "quoted"\nline'}, {"text": "Grüße, 世界 🤗"}, {"text": ""}]
AS_TEXT = [(row, values["text"]) for row, values in enumerate(ROWS)]


def as_jsonl() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def as_separated(mark: str) -> bytes:
    quoted = (row["text"].replace('"', '""') for row in ROWS)
    return "".join(["n", mark, "text\r\n", *(f'{7}{mark}"{q}"\r\n' for q in quoted)]).encode()


def as_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


WRITTEN = {
    "jsonl": as_jsonl(),
    "csv": as_separated(","),
    "tsv": as_separated("\t"),
    "parquet": as_parquet(),
}
PACKED = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv"])
def test_every_format_gives_the_same_rows_packed_or_not(
    tmp_path: Path, format: str, packing: str
) -> None:
    path = tmp_path / f"rows.{format}{packing}"
    path.write_bytes(PACKED[packing](WRITTEN[format]))
    assert read(path, fields()) == AS_TEXT


def test_parquet_gives_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(WRITTEN["parquet"])
    assert read(path, fields()) == AS_TEXT


def test_packing_is_seen_whatever_the_name_says(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(gzip.compress(as_jsonl()[:20]) + gzip.compress(as_jsonl()[20:]))
    assert read(path, fields()) == AS_TEXT


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_packed_file_that_breaks_off_is_an_error_that_names_it(
    tmp_path: Path, packing: str
) -> None:
    lines = b"".join(b'{"text": "%d"}\n' % number for number in range(50_000))
    path = tmp_path / f"cut.jsonl{packing}"
    path.write_bytes(PACKED[packing](lines)[:-50])
    with pytest.raises(EngineError, match=r"cut\.jsonl.* cannot be read completely"):
        read(path, fields())


def test_text_lines_keep_blank_ones_and_end_only_at_newlines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\n\ntwo\u2028still two\rand so\n\xe9".encode())
    expected = ["one", "", "two\u2028still two\rand so", "é"]
    assert read(path, fields()) == list(enumerate(expected))


def test_bad_rows_of_jsonl_are_told_by_row_and_reason(tmp_path: Path) -> None:
    lines = [
        b'{"text": "good"}',
        b'{"text": "broken',
        b'{"text": 5}',
        b'{"text": null}',
        b'{"other": "x"}',
        b'["text"]',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800"}',
        b"   ",
        b"[" * 100_000,
        b'{"text": "good too"}',
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    rows = read(path, fields())
    assert [row for row in rows if isinstance(row[1], str)] == [(0, "good"), (10, "good too")]
    told = reasons(rows)
    assert told[1].startswith("malformed JSON: Unterminated string")
    assert told[2] == "'text' is of type int, not a string"
    assert told[3] == "'text' is null"
    assert told[4] == "there is no 'text'"
    assert told[5] == "the row is a JSON list, not an object"
    assert told[6] == "not UTF-8: byte 0xff at 10"
    assert "half a surrogate pair" in told[7]
    assert told[9].startswith("malformed JSON")
    assert 8 not in told  # a blank line is no row, yet rows after it keep the number of their line


def test_a_line_without_end_is_rejected_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 1 << 20)
    path = tmp_path / "a.txt"
    path.write_bytes(b"first\n" + b"x" * (3 << 20) + b"\nlast\n")
    rows = read(path, fields())
    assert rows[0] == (0, "first")
    assert rows[2] == (2, "last")
    assert reasons(rows) == {1: "the line is longer than 1 MiB"}


def test_bad_rows_of_csv_are_told_by_row_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,text\n1,good\n2\n\n3,a,b\n4,\xff\xfe\n5,good too\n")
    rows = read(path, fields())
    assert reasons(rows) == {
        1: "line 3: the row has 1 fields, the header 2",
        2: "line 5: the row has 3 fields, the header 2",
        3: "'text' is not valid Unicode: it holds bytes or half a surrogate pair",
    }
    assert rows[0] == (0, "good")
    assert rows[4] == (4, "good too")


def test_a_csv_field_without_end_is_one_bad_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 1000)
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\n1,good\n2,"' + b"x" * 2000 + b"\n3,good too\n")
    assert "malformed CSV" in reasons(read(path, fields()))[1]


def test_bad_rows_of_parquet_are_told_by_row_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    raw = pa.array([b"good", None, b"\xff\xfe", b"", b"good too"])
    ids = pa.array([1, 2, 3, None, 5])
    pq.write_table(pa.table({"text": raw, "id": ids}), path)
    rows = read(path, fields("text", "id"))
    assert reasons(rows) == {
        1: "'text' is null",
        2: "'text' is not valid Unicode: it holds bytes or half a surrogate pair",
        3: "'id' is null or not UTF-8",
    }


def test_a_carried_string_that_is_not_utf8_makes_its_row_bad(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    tags = pa.array([b"fine", b"\xff", None]).view(pa.binary()).cast(pa.binary())
    broken = pa.StringArray.from_buffers(len(tags), tags.buffers()[1], tags.buffers()[2],
                                         tags.buffers()[0])  # fmt: skip
    pq.write_table(pa.table({"text": ["a", "b", "c"], "tag": broken}), path)
    assert reasons(read(path, fields("text", None, "tag"))) == {1: "'tag' is null or not UTF-8"}


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_parquet_text_may_be_packed_in_any_way(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": pa.array(["a", "é", None, "a"]).cast(kind)}), path)
    assert read(path, fields())[:2] == [(0, "a"), (1, "é")]
    assert reasons(read(path, fields())) == {2: "'text' is null"}


def test_carried_columns_keep_their_types_in_parquet_and_are_strings_elsewhere(
    tmp_path: Path,
) -> None:
    rows = [{"text": "a", "n": 1, "tags": ["x", "y"]}, {"text": "b", "n": None, "tags": []}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wanted = fields("text", None, "n", "tags")
    assert carried(tmp_path / "a.parquet", wanted) == [
        {"n": 1, "tags": ["x", "y"]},
        {"n": None, "tags": []},
    ]
    assert carried(tmp_path / "a.jsonl", wanted) == [
        {"n": "1", "tags": '["x", "y"]'},
        {"n": None, "tags": "[]"},
    ]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("title", "T"),
        ("{title}", "T"),
        ("{title}\\n{body}", "T\nB"),
        ("{title}: {body} {{x}} \\\\n \\q", "T: B {x} \\n \\q"),
        ("{body}{title}{body}", "BTB"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    parsed = parse_template(template)
    values = {"title": "T", "body": "B"}
    assert parsed.render([values[name] for name in parsed.columns]) == expected


@pytest.mark.parametrize("template", ["{}", "{a!r}", "{a:>3}", "{", "a}", "{{a}}"])
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(InputError, match="--text"):
        parse_template(template)


def test_template_is_plain_data() -> None:
    assert parse_template("{a} {b}") == Template(("", " ", ""), ("a", "b"))


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_a_column_that_is_not_there_is_an_error_that_lists_those_that_are(
    tmp_path: Path, format: str
) -> None:
    path = tmp_path / f"rows.{format}"
    path.write_bytes(WRITTEN[format])
    with pytest.raises(InputError, match=r"has no column 'body'; it has \[.*'text'\]"):
        read(path, fields("body"))


def test_text_lines_have_one_column(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n")
    with pytest.raises(InputError, match="whose only column is 'text'; it has no 'body'"):
        read(tmp_path / "a.txt", fields("body"))


def test_a_parquet_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="column 'text' is of type int64"):
        read(tmp_path / "a.parquet", fields())


def test_a_folder_gives_its_files_by_name_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt.gz", "_out/d.txt", ".e.txt", "notes.rst"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x\n")
    names = [source.name for source in find([str(tmp_path)], None, "elsewhere")]
    assert names == [str(tmp_path / name) for name in ("a.txt", "b.txt", "sub/c.txt.gz")]


def test_a_glob_is_expanded_by_us_too(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.csv"):
        (tmp_path / name).write_text("x\n")
    names = [source.name for source in find([str(tmp_path / "*.txt")], None, "elsewhere")]
    assert names == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def test_inputs_that_cannot_be_meant(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x\n")
    (tmp_path / "b.csv").write_text("x\n")
    (tmp_path / "c").write_text("x\n")
    (tmp_path / "empty").mkdir()
    text, csv, unknown = (str(tmp_path / name) for name in ("a.txt", "b.csv", "c"))
    for names, message in [
        (["nowhere.txt"], "no such file, folder or glob"),
        ([text, text], "given twice"),
        ([text, csv], "different formats: csv, text"),
        ([unknown], "unknown format of this file name; give --input-format"),
        ([str(tmp_path / "empty")], "has no file that ends in"),
    ]:
        with pytest.raises(InputError, match=message):
            find(names, None, "elsewhere")
    with pytest.raises(InputError, match="is inside the input folder"):
        find([str(tmp_path)], "text", str(tmp_path / "out"))


@given(st.lists(st.integers(0, 40 << 20), max_size=40))
@settings(deadline=None)
def test_splits_keep_order_and_bound_what_small_files_add_up_to(sizes: list[int]) -> None:
    sources = [Source(str(number), "text", size) for number, size in enumerate(sizes)]
    groups = inputs.splits(sources)
    assert [source for group in groups for source in group] == sources
    for group in groups:
        total = sum(source.size for source in group)
        assert group
        assert total <= inputs.SPLIT_BYTES or len(group) == 1


def test_a_fingerprint_notices_any_change_and_no_touch(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def fingerprint(text: str) -> object:
        path.write_text(text)
        (source,) = find([str(path)], None, "elsewhere")
        return source.fingerprint()

    assert fingerprint("one") == fingerprint("one")
    assert fingerprint("one") != fingerprint("two")


def test_a_fingerprint_of_a_big_file_has_size_time_and_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "WHOLE_BYTES", 100)
    monkeypatch.setattr(inputs, "SAMPLE_BYTES", 10)
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * 200)
    source = Source(str(path), "text", 200)
    before = source.fingerprint()
    assert before["modified_ns"] == path.stat().st_mtime_ns
    for place in (0, 95, 199):
        path.write_bytes(b"a" * place + b"b" + b"a" * (199 - place))
        assert source.fingerprint()["sha256"] != before["sha256"], place
