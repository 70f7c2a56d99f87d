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
from engine.jobs.writing.row_hashes import hash_texts, rows_of
from engine.jobs.writing.shard_files import TEMPORARY, explain, put, write_shard
from engine.jobs.writing.shards import Key, Reject, Shard
from engine.jobs.writing.stored import convert


def embedded(*rejects: Reject, dtype: str = "float32") -> Embedded:
    columns = pa.table({"id": [7, 8]})
    places = [(0, 0), (0, 1)]
    shard = Shard(Key(1, 2), True, ["a", "b"], ["in"], places, columns, [*rejects], "digest", 9)
    vectors = np.array([[1, -2, 0], [0.5, 0, 0.25]], np.float32)
    return Embedded(shard, convert(vectors, dtype), rows_of(hash_texts(["a", "b"])), 6, 1)


def test_a_part_holds_columns_and_vectors_and_its_record_their_sizes(tmp_path: Path) -> None:
    folders = Folders.of(tmp_path / "out")
    folders.create()
    record = write_shard(folders, embedded(Reject("in", 5, "no")), "parquet", "id")
    table = pq.read_table(tmp_path / "out" / "part-000001-000002.parquet")
    assert table.to_pylist() == [
        {"id": 7, "embedding": [1.0, -2.0, 0.0]},
        {"id": 8, "embedding": [0.5, 0.0, 0.25]},
    ]
    rejects = tmp_path / "out.job" / "rejects-000001-000002.jsonl"
    assert json.loads(rejects.read_text()) == {"file": "in", "row": 5, "reason": "no"}
    assert (record.rows, record.tokens, record.cut, record.rejects) == (2, 6, 1, 1)
    assert (record.key, record.last, record.digest, record.size) == ((1, 2), True, "digest", 9)
    assert list(record.files) == [
        "part-000001-000002.parquet", "rows-000001-000002.npy", "rejects-000001-000002.jsonl",
    ]  # fmt: skip
    for name, content in record.files.items():
        data = folders.path(name).read_bytes()
        assert content == (len(data), hashlib.sha256(data).hexdigest())


def test_int8_parts_have_a_scale(tmp_path: Path) -> None:
    folders = Folders.of(tmp_path / "out")
    folders.create()
    record = write_shard(folders, embedded(dtype="int8"), "npy", "id")
    values = np.load(folders.data / "part-000001-000002.npy")
    scales = np.load(folders.data / "part-000001-000002.scale.npy")
    assert values.dtype == np.int8 and values.tolist() == [[64, -127, 0], [127, 0, 64]]
    assert np.allclose(scales, [2 / 127, 0.5 / 127])
    assert (folders.data / "part-000001-000002.ids.jsonl").read_text() == '{"id": 7}\n{"id": 8}\n'
    assert len(record.files) == 4


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
