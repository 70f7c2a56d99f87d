"""Whole lines count, a torn last one does not, and damage is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.journal import damaged, read_journal
from engine.jobs.writing.record import Content, Record
from engine.jobs.writing.shards import Key

NAME = "part-000000-000000.npy"
RECORD = Record(Key(0, 0), True, 5, 60, 1, 2, 900, "digest", {NAME: Content.of(b"vectors")})
LINE = RECORD.to_json().encode() + b"\n"


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINE + LINE[:-9])
    assert read_journal(path) == ([RECORD], len(LINE))
    path.write_bytes(b"")
    assert read_journal(path) == ([], 0)


@pytest.mark.parametrize("junk", [b"\0" * 30, b"[]", LINE[:-9].replace(b"key", b"kee")])
def test_a_damaged_line_is_named(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(LINE + junk + b"\n" + LINE)
    with pytest.raises(EngineError, match=r"journal\.jsonl is damaged at line 2 .* Delete that"):
        read_journal(path)


@pytest.mark.parametrize("content", [None, b"vector", b"Vectors", b"vectors more"])
def test_missing_cut_and_changed_files_are_found(tmp_path: Path, content: bytes | None) -> None:
    folders = Folders.of(tmp_path / "out")
    folders.create()
    (folders.data / NAME).write_bytes(b"vectors")
    assert damaged(folders, RECORD) == []
    if content is None:
        (folders.data / NAME).unlink()
    else:
        (folders.data / NAME).write_bytes(content)
    assert damaged(folders, RECORD) == [folders.data / NAME]
    assert damaged(folders, replace(RECORD, files={})) == []
