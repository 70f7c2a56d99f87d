"""Lines of text files."""

import io
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.jobs.reading import lines
from engine.jobs.reading.row_text import BadRow
from tests.jobs.reading.reads import put, read


def test_lines_are_bounded_numbered_and_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 8)
    stream = io.BytesIO(b"\xef\xbb\xbfa\r\n" + b"1234567\n" + b"123456789012345678\n\xff\nb")
    found = list(lines.lines(stream))
    assert found[:2] == [(0, "a"), (1, "1234567")]
    assert found[2][1] == BadRow(lines.too_long("line"))
    assert found[3][1] == BadRow("not UTF-8: byte 0xff at 0")
    assert found[4:] == [(4, "b")]


def test_a_line_with_a_nul_is_damaged(tmp_path: Path) -> None:
    texts, reasons, _ = read(put(tmp_path / "a.txt", b"one\n\0\0\0\0\ntwo\n"))
    assert texts == ["one", "two"] and "NUL" in reasons[1]


def test_text_lines_have_the_columns_of_their_folders(tmp_path: Path) -> None:
    path = put(tmp_path / "lang=en" / "a.txt", "one\n")
    assert read(path, "{lang}: {text}", keep="lang") == (["en: one"], {}, [{"lang": "en"}])
    with pytest.raises(InputError, match="it has no 'other'"):
        read(path, keep="other")


def test_a_document_is_one_row(tmp_path: Path) -> None:
    put(tmp_path / "b.md", b"\xef\xbb\xbf# Title\r\n\nBody\n")
    put(tmp_path / "year=2024" / "a.markdown", "Old")
    put(tmp_path / "c.md", b"\xff\xfeo\0n\0e\0")
    put(tmp_path / "d.md", "")
    texts = ["# Title\r\n\nBody\n", "one", "", "Old"]
    assert read(tmp_path)[:2] == (texts, {})
    assert read(tmp_path / "year=2024", "{year}: {text}")[0] == ["2024: Old"]
    assert read(put(tmp_path / "e.txt", "a\nb\n"), format="document")[0] == ["a\nb\n"]
    with pytest.raises(InputError, match="it has no 'title'"):
        read(tmp_path / "b.md", "title")


def test_a_document_that_is_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 8)
    for content, reason in ((b"123456789", "file is longer"), (b"a\0", "NUL"), (b"\xff", "0xff")):
        texts, reasons, _ = read(put(tmp_path / "a.md", content))
        assert texts == [] and reason in reasons[0]
    assert read(put(tmp_path / "a.md", b"12345678"))[0] == ["12345678"]
