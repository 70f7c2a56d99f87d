"""Types of JSON columns, nulls, nested columns, and columns that folders name."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import InputError
from engine.jobs.reading import rows
from tests.jobs.reading.reads import put, read

NESTED = [
    {"meta": {"body": "a", "lang": "en"}, "year": 1},
    {"meta": None, "year": 2},
    {"meta": {"body": None, "lang": "de"}, "year": 3},
    {"meta": {"body": "b", "lang": None}, "year": 4},
]


def jsonl(path: Path, *objects: dict[str, object]) -> Path:
    return put(path, "".join(json.dumps(each) + "\n" for each in objects))


def parquet(path: Path, *objects: dict[str, object]) -> Path:
    pq.write_table(pa.Table.from_pylist(objects), path)
    return path


def test_columns_of_json_have_the_types_that_their_values_need(tmp_path: Path) -> None:
    first = {"text": "a", "i": 1, "f": 1, "b": True, "s": "x", "m": 1, "l": [1], "n": None}
    second = {"text": "b", "i": 2, "f": 1.5, "b": None, "s": "y", "m": "z", "l": [], "n": None}
    texts, reasons, columns = read(
        jsonl(tmp_path / "a.jsonl", first, second), id="i", keep="f,b,s,m,l,n"
    )
    assert texts == ["a", "b"] and not reasons
    assert columns == [
        {"i": 1, "f": 1.0, "b": True, "s": "x", "m": "1", "l": "[1]", "n": None},
        {"i": 2, "f": 1.5, "b": None, "s": "y", "m": "z", "l": "[]", "n": None},
    ]


def test_a_later_value_of_another_type_rejects_its_row_and_a_declared_type_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "SAMPLE_ROWS", 2)
    objects = [{"text": "a", "n": n} for n in (1, 2, 3.5, "x", 2**64)]
    path = jsonl(tmp_path / "a.jsonl", *objects)
    texts, reasons, _ = read(path, keep="n")
    assert len(texts) == 2 and list(reasons) == [2, 3, 4]
    assert reasons[2].startswith("'n' is 3.5, not of the column's type, int64")
    assert "n:float64 in --id or --keep" in reasons[2] and "n:string in" in reasons[3]
    assert list(read(path, keep="n:float64")[1]) == [3, 4]
    texts, reasons, columns = read(path, keep="n:string")
    assert not reasons and columns[2] == {"n": "3.5"}


def test_a_column_that_no_row_has_is_refused_unless_declared(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "a", "b": 1}, {"text": "b"})
    with pytest.raises(InputError, match=r"has a 'c'; they have \['text', 'b'\]"):
        read(path, keep="c")
    with pytest.raises(InputError, match="has a 'titel'"):
        read(path, "{titel}{text}", null="empty")
    assert read(path, keep="b,c:string")[2] == [{"b": 1, "c": None}, {"b": None, "c": None}]


def test_csv_columns_are_strings_unless_declared(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "text,n\na,1\nb,\nc,x\n")
    assert read(path, keep="n")[2] == [{"n": "1"}, {"n": ""}, {"n": "x"}]
    _, reasons, columns = read(path, keep="n:int64")
    assert columns == [{"n": 1}, {"n": None}] and "'n' is 'x', not of the" in reasons[2]
    assert list(read(path, id="n:int64")[1]) == [1, 2]  # an id is not null


@pytest.mark.parametrize("write", [jsonl, parquet])
def test_nested_columns(tmp_path: Path, write: object) -> None:
    path = write(tmp_path / ("a.jsonl" if write is jsonl else "a.parquet"), *NESTED)  # type: ignore[operator]
    texts, reasons, columns = read(path, "{meta.body}!", keep="meta.lang,year", null="reject")
    assert texts == ["a!", "b!"] and list(reasons) == [1, 2]
    assert columns == [{"meta.lang": "en", "year": 1}, {"meta.lang": None, "year": 4}]
    texts, reasons, columns = read(path, "{meta.body}!", keep="meta.lang", null="empty")
    assert texts == ["a!", "!", "!", "b!"] and not reasons
    assert [each["meta.lang"] for each in columns] == ["en", None, "de", None]


@pytest.mark.parametrize("write", [jsonl, parquet])
def test_a_literal_name_with_a_dot_wins(tmp_path: Path, write: object) -> None:
    path = tmp_path / ("a.jsonl" if write is jsonl else "a.parquet")
    write(path, {"a.b": "literal", "a": {"b": "nested", "c.d": "deep"}})  # type: ignore[operator]
    assert read(path, "{a.b} {a.c.d}")[0] == ["literal deep"]


@pytest.mark.parametrize("write", [jsonl, parquet])
def test_nulls_are_the_same_in_every_format(tmp_path: Path, write: object) -> None:
    objects = [
        {"title": "T", "text": "b", "id": 1},
        {"title": None, "text": "b", "id": 2},
        {"title": "T", "text": None, "id": 3},
        {"title": None, "text": "", "id": 4},
    ]
    path = tmp_path / ("a.jsonl" if write is jsonl else "a.parquet")
    write(path, *objects)  # type: ignore[operator]
    template = "<{title}: {text}>"
    texts, reasons, _ = read(path, template, id="id")
    assert texts == ["<T: b>"]
    assert reasons == {1: "'title' is null", 2: "'text' is null", 3: "'title' is null"}
    assert read(path, template, null="empty")[0] == ["<T: b>", "<: b>", "<T: >", "<: >"]
    texts, reasons, _ = read(path, template, null="skip-field")
    assert texts == ["<T: b>", "b>", "<T"]
    assert reasons == {3: "null or empty: 'title', 'text'"}


def test_an_empty_field_of_csv_is_left_out_too(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "title,text\nT,b\n,b\nT,\n,\n")
    assert read(path, "{title}: {text}")[0] == ["T: b", ": b", "T: ", ": "]
    texts, reasons, _ = read(path, "{title}: {text}", null="skip-field")
    assert texts == ["T: b", "b", "T"] and list(reasons) == [3]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_folders_name_columns(tmp_path: Path, name: str) -> None:
    for lang, year in (("en", "2020"), ("d%20e", "__HIVE_DEFAULT_PARTITION__")):
        path = tmp_path / f"lang={lang}" / f"year={year}" / name
        put(path, '{"text": "a"}' if name == "a.jsonl" else "text,n\na,1\n")
        if name == "a.parquet":
            parquet(path, {"text": "a"})
    texts, reasons, columns = read(tmp_path, "{lang}: {text}", keep="lang,year")
    assert texts == ["d e: a", "en: a"] and not reasons
    assert columns == [{"lang": "d e", "year": None}, {"lang": "en", "year": "2020"}]
    assert read(tmp_path, keep="year:int64")[2] == [{"year": None}, {"year": 2020}]


def test_a_column_of_the_file_hides_that_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "lang=en"
    folder.mkdir()
    for path in (
        jsonl(folder / "a.jsonl", {"text": "a", "lang": "de"}),
        put(folder / "a.csv", "text,lang\na,de\n"),
        parquet(folder / "a.parquet", {"text": "a", "lang": "de"}),
    ):
        assert read(path, keep="lang")[2] == [{"lang": "de"}]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"text": "a", "n": 1, "tags": ["x"]})
    assert read(path, keep="n:int64")[2] == [{"n": 1}]
    with pytest.raises(InputError, match="column 'n' is of type int64, not string"):
        read(path, keep="n:string")
    with pytest.raises(InputError, match="'tags' is of type list"):
        read(path, "tags")
