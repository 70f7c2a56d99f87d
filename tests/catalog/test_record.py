"""bge-pull.json: what is written is read, and what is damaged is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.models import FileFact
from engine.catalog.record import RECORD, Record, read_record
from engine.catalog.verify import write_json
from engine.errors import CheckpointError

SHA = "0123456789abcdef" * 4
GOOD = Record(
    "tiny/mouse",
    "a" * 40,
    "hub",
    {"config.json": FileFact(0, SHA), "1_Pooling/config.json": FileFact(7, SHA)},
    "2026-01-02T03:04:05+00:00",
)


def read(folder: Path, content: bytes | Any) -> Record | None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / RECORD).write_bytes(data)
    return read_record(folder)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None
    write_json(tmp_path / RECORD, GOOD.as_json())
    assert read_record(tmp_path) == GOOD


def test_a_record_of_an_older_version_has_no_date(tmp_path: Path) -> None:
    content = GOOD.as_json()
    del content["date"]
    assert read(tmp_path, content) == replace(GOOD, date=None)


def test_what_later_versions_add_is_ignored(tmp_path: Path) -> None:
    row = {"size": 0, "sha256": SHA, "blake3": "x"}
    content = {**GOOD.as_json(), "files": {"config.json": row}, "more": [1]}
    assert read(tmp_path, content) == replace(GOOD, files={"config.json": FileFact(0, SHA)})


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"null", b"7", b"[]", b'"x"', b"[" * 100_000, b'{"a":' * 100_000,
     b"NaN", b"9" * 5000],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / RECORD} is not a record that `bge pull` wrote: ")
    assert message.endswith(
        "Delete the folder and download the model again, or load the folder by its path instead of "
        "a model's name."
    )
    assert len(message) < 600


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in ("hub_id", "revision", "source")
          for value in (None, 7, [], "", "../x", "/x", "a\\b")),
        *(("files", value) for value in (None, [], "x", {}, 7)),
        ("date", 7),
        ("date", []),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_named(tmp_path: Path, field: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=f"wrote: {field} is "):
        read(tmp_path, {**GOOD.as_json(), field: value})


@pytest.mark.parametrize(
    ("path", "row"),
    [
        ("config.json", None),
        ("config.json", []),
        ("config.json", {}),
        ("config.json", {"size": -1, "sha256": SHA}),
        ("config.json", {"size": 1.0, "sha256": SHA}),
        ("config.json", {"size": True, "sha256": SHA}),
        ("config.json", {"size": None, "sha256": SHA}),
        ("config.json", {"size": 1, "sha256": None}),
        ("config.json", {"size": 1, "sha256": SHA[1:]}),
        ("config.json", {"size": 1, "sha256": SHA.upper()}),
        ("../config.json", {"size": 1, "sha256": SHA}),
        ("/etc/passwd", {"size": 1, "sha256": SHA}),
        ("..\\x", {"size": 1, "sha256": SHA}),
    ],
)
def test_a_row_that_says_nothing_sure_is_refused(tmp_path: Path, path: str, row: object) -> None:
    with pytest.raises(CheckpointError, match=r"wrote: (the entry of the file|sha256 of) "):
        read(tmp_path, {**GOOD.as_json(), "files": {path: row}})


def test_a_record_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / RECORD).mkdir()
    with pytest.raises(CheckpointError, match="wrote: Is a directory"):
        read_record(tmp_path)
