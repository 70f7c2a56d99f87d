"""Names to sources, and what identifies a file."""

import os
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.jobs.reading import inputs
from engine.jobs.reading.inputs import STDIN, Source, find, fingerprints, format_of, splits


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.txt", "text"), ("a.TEXT", "text"), ("a.jsonl", "jsonl"), ("a.ndjson.gz", "jsonl"),
        ("a.csv.zst", "csv"), ("a.tsv.zstd", "tsv"), ("a.pq", "parquet"), ("A.PARQUET", "parquet"),
        ("a.json", "jsonl"), ("a.json.bz2", "jsonl"), ("a.txt.xz", "text"),
        ("a.md", "document"), ("a.markdown.gz", "document"),
        ("a", None), ("a.gz", None), ("a.rst", None), (".csv", None), ("csv", None),
    ],
)  # fmt: skip
def test_a_name_tells_the_format(name: str, format: str | None) -> None:
    assert format_of(name) == format


def test_sources_in_the_order_given(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "z/c.txt", "z/.hidden.txt", "z/_done/d.txt", "z/e.rst"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("12345")
    b, a, folder = (str(tmp_path / name) for name in ("b.txt", "a.txt", "z"))
    found = find([b, folder, a, STDIN], None, "elsewhere")
    assert found == [
        Source(b, "text", 5), Source(f"{folder}/c.txt", "text", 5), Source(a, "text", 5),
        Source(STDIN, "text", 0),
    ]  # fmt: skip
    named = [source.name for source in find([folder], "text", "elsewhere")]
    assert named == [f"{folder}/c.txt", f"{folder}/e.rst"]


@pytest.mark.parametrize(
    ("names", "read"),
    [
        ("README.md a.csv b.json", "a.csv"),
        ("README.md a.json", "a.json"),
        ("README.md notes.md", "README.md notes.md"),
        ("a.txt b.json", "a.txt"),
        ("a.txt b.md", None),
    ],
)
def test_files_that_describe_others_are_not_read(
    names: str, read: str | None, tmp_path: Path
) -> None:
    for name in names.split():
        (tmp_path / name).write_text("[]")
    if read is None:
        with pytest.raises(InputError, match="different formats: document, text"):
            find([str(tmp_path)], None, "elsewhere")
        assert len(find([str(tmp_path)], "document", "elsewhere")) == 2
    else:
        found = [Path(source.name).name for source in find([str(tmp_path)], None, "elsewhere")]
        assert found == read.split()


def test_json_beside_other_files_of_a_folder_is_not_read(tmp_path: Path) -> None:
    for name in ("a.json", "b.json.gz"):
        (tmp_path / name).write_text("[]")
    names = [str(tmp_path / "a.json"), str(tmp_path / "b.json.gz")]
    assert [source.name for source in find([str(tmp_path)], None, "elsewhere")] == names
    (tmp_path / "c.json.csv").write_text("text\n")
    (found,) = find([str(tmp_path)], None, "elsewhere")
    assert found.name == str(tmp_path / "c.json.csv")


def test_an_output_within_the_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is inside the input folder"):
        find([str(tmp_path)], None, str(tmp_path / "deep" / "out"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(InputError, match="is not a file; read a pipe as standard input"):
        find([str(tmp_path / "pipe.txt")], None, "out")
    (tmp_path / "a\nb.txt").write_text("x")
    with pytest.raises(InputError, match="rename it to printable UTF-8"):
        find([str(tmp_path / "a\nb.txt")], None, "out")


def test_a_fingerprint_follows_the_content_and_not_the_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    source = Source(str(path), "text", 3)
    (first,) = fingerprints([source])
    assert first["size"] == 3 and "modified_ns" not in first
    os.utime(path, (1, 1))
    assert source.fingerprint() == first
    path.write_text("two")
    assert source.fingerprint()["sha256"] != first["sha256"]
    assert Source(STDIN, "csv", 0).fingerprint() == {"name": STDIN, "format": "csv"}


def test_of_a_big_file_start_middle_end_and_time_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "WHOLE_BYTES", 8)
    monkeypatch.setattr(inputs, "SAMPLE_BYTES", 2)
    assert inputs._samples(8) == [(0, 2), (2, 2), (4, 2), (6, 2)]
    assert inputs._samples(21) == [(0, 2), (9, 2), (19, 2)]
    path = tmp_path / "a.txt"
    path.write_bytes(b"." * 21)
    os.utime(path, (1, 1))
    source = Source(str(path), "text", 21)
    first = source.fingerprint()
    assert first["modified_ns"] == 10**9
    for place, noticed in ((0, True), (10, True), (20, True), (5, False)):
        data = bytearray(b"." * 21)
        data[place] = 0
        path.write_bytes(data)
        os.utime(path, (1, 1))
        assert (source.fingerprint() != first) == noticed


def test_small_neighbours_share_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "SPLIT_BYTES", 10)
    sources = [Source(str(n), "text", size) for n, size in enumerate([4, 6, 1, 30, 0, 9])]
    assert [[int(s.name) for s in split] for split in splits(sources)] == [[0, 1], [2], [3], [4, 5]]


def test_folders_of_a_path_name_columns() -> None:
    source = Source(
        "data/lang=en/day=2020%2F1/x=a=b/none=__HIVE_DEFAULT_PARTITION__/f=1.csv", "csv", 1
    )
    assert source.partitions == {"lang": "en", "day": "2020/1", "x": "a=b", "none": None}
    assert Source("data/=x/a.csv", "csv", 1).partitions == {}
