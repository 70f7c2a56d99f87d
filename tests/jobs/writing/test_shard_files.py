"""A shard's files, whole or not there, and the record of them."""

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import EngineError
from engine.jobs.embedding import Embedded
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.shard_files import (
    TEMPORARY,
    Content,
    Record,
    convert,
    explain,
    put,
    write_shard,
)
from engine.jobs.writing.shards import Key, Reject, Shard

FILES = {"part-000000-000003.parquet": Content(1234, "a" * 64)}
RECORD = Record(Key(0, 3), False, 5, 60, 1, 2, 900, "d" * 64, FILES)


def embedded(*rejects: Reject) -> Embedded:
    columns = pa.table({"id": [7, 8]})
    places = [(0, 0), (0, 1)]
    shard = Shard(Key(1, 2), True, ["a", "b"], ["in"], places, columns, [*rejects], "digest", 9)
    return Embedded(shard, np.array([[1, -2, 0], [0.5, 0, 0.25]], np.float32), 6, 1)


def test_a_record_comes_back_as_it_was() -> None:
    assert Record.from_json(RECORD.to_json()) == RECORD
    assert Record.from_json(RECORD.to_json().encode()).key == Key(0, 3)


def changed(**values: object) -> str:
    return json.dumps({**json.loads(RECORD.to_json()), **values})


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "\0\0\0", "[]", "3", "null", "{}", "[" * 100_000,
        changed(key=[0]), changed(key=["0", 3]), changed(key=[0, -1]), changed(key=None),
        changed(last=1), changed(rows="5"), changed(rows=True), changed(digest=None),
        changed(files=["a"]), changed(files={"a": 1}), changed(files={"a": ["1", "b"]}),
        changed(files={"a": [-1, "b"]}), changed(files={"a": [1, 2]}), changed(more=1),
    ],
)  # fmt: skip
def test_what_is_no_record_is_refused(line: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, RecursionError)):
        Record.from_json(line)


def test_a_part_holds_columns_and_vectors_and_its_record_their_sizes(tmp_path: Path) -> None:
    folders = Folders.of(tmp_path / "out")
    folders.create()
    record = write_shard(folders, embedded(Reject("in", 5, "no")), "parquet", "float32")
    table = pq.read_table(tmp_path / "out" / "part-000001-000002.parquet")
    assert table.to_pylist() == [
        {"id": 7, "embedding": [1.0, -2.0, 0.0]},
        {"id": 8, "embedding": [0.5, 0.0, 0.25]},
    ]
    rejects = tmp_path / "out.job" / "rejects-000001-000002.jsonl"
    assert json.loads(rejects.read_text()) == {"file": "in", "row": 5, "reason": "no"}
    assert (record.rows, record.tokens, record.cut, record.rejects) == (2, 6, 1, 1)
    assert (record.key, record.last, record.digest, record.size) == ((1, 2), True, "digest", 9)
    assert list(record.files) == ["part-000001-000002.parquet", "rejects-000001-000002.jsonl"]
    for name, content in record.files.items():
        data = folders.path(name).read_bytes()
        assert content == (len(data), hashlib.sha256(data).hexdigest())


def test_int8_parts_have_a_scale(tmp_path: Path) -> None:
    folders = Folders.of(tmp_path / "out")
    folders.create()
    record = write_shard(folders, embedded(), "npy", "int8")
    values = np.load(folders.data / "part-000001-000002.npy")
    scales = np.load(folders.data / "part-000001-000002.scale.npy")
    assert values.dtype == np.int8 and values.tolist() == [[64, -127, 0], [127, 0, 64]]
    assert np.allclose(scales, [2 / 127, 0.5 / 127])
    assert (folders.data / "part-000001-000002.ids.jsonl").read_text() == '{"id": 7}\n{"id": 8}\n'
    assert len(record.files) == 3


def test_float16_is_a_cast() -> None:
    values, scales = convert(np.array([[0.1]], np.float32), "float16")
    assert values.dtype == np.float16 and scales is None


def test_put_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "x", b"old")

    def full(self: Path, target: Path) -> None:
        assert self.name.startswith(TEMPORARY) and self.read_bytes() == b"new"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EngineError, match="x cannot be written: the disk is full"):
        put(tmp_path / "x", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("x", b"old")]


def test_only_a_lack_of_room_promises_that_room_helps() -> None:
    assert "free some space" in str(explain(OSError(errno.EDQUOT, "quota"), Path("p")))
    denied = str(explain(PermissionError(errno.EACCES, "Permission denied"), Path("p")))
    assert denied == "p cannot be written: Permission denied."


def test_int8_of_zeros_is_zeros_and_extremes_are_reached() -> None:
    values, scales = convert(np.array([[0, 0], [-2, 1], [0.5, 0.25]], np.float32), "int8")
    assert values.tolist() == [[0, 0], [-127, 64], [127, 64]]
    assert scales.tolist() == pytest.approx([0, 2 / 127, 0.5 / 127])
    assert convert(np.empty((0, 3), np.float32), "int8")[0].shape == (0, 3)
