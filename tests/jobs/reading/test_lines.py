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
