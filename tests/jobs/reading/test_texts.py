"""The texts of a file, without a job."""

from pathlib import Path

import pytest

from engine.errors import InputError
from engine.jobs import format_of, is_compressed, texts
from tests.jobs.reading.reads import put


def test_a_file_gives_its_texts_until_a_row_has_none(tmp_path: Path) -> None:
    path = put(tmp_path / "a.csv", "n,text\n1,one\n2,two\n3\n4,four\n")
    found = texts(str(path), "text", "csv")
    assert [next(found), next(found)] == ["one", "two"]
    with pytest.raises(InputError, match=r"a\.csv, row 2 \(from 0\): line 4: the row has 1 fields"):
        next(found)


def test_a_wrong_name_is_told_before_the_first_text_is_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        texts(str(tmp_path / "a.csv"), "text", "csv")


def test_a_folder_gives_the_texts_of_its_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        put(tmp_path / "in" / name, name)
    assert list(texts(str(tmp_path / "in"), "text", "text")) == ["a.txt", "b.txt"]


def test_a_name_tells_format_and_compression() -> None:
    assert (format_of("A.CSV.GZ"), is_compressed("A.CSV.GZ")) == ("csv", True)
    assert (format_of("a.log"), is_compressed("a.log")) == (None, False)
