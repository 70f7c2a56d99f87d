"""A shard on disk: the bytes of its files, written atomically."""

import errno
import hashlib
import io
import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import engine
from engine.errors import EngineError
from engine.jobs.embedding import Embedded
from engine.jobs.options import EMBEDDING, SCALE
from engine.jobs.writing.folders import PART, Folders
from engine.jobs.writing.shards import Key, Reject

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is exceeded",
        errno.EFBIG: "the file size limit is reached"}  # fmt: skip
TEMPORARY = ".new-"
# One page holds the vectors of a usual shard: they lie together, so that they can be mapped.
PAGE_BYTES = 1 << 26


class Content(NamedTuple):
    """What identifies the bytes of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: Any) -> "Content":
        view = memoryview(data)
        return cls(view.nbytes, hashlib.sha256(view).hexdigest())

    def is_in(self, path: Path) -> bool:
        """Whether the file is there and holds these bytes."""
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size != self.size:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except (FileNotFoundError, IsADirectoryError):
            return False


@dataclass(frozen=True, slots=True)  # a long job holds millions
class Record:
    """The journal entry of a completed shard: counts, digest of its rows, and its files."""

    key: Key
    last: bool
    rows: int
    tokens: int
    cut: int
    rejects: int
    size: int
    digest: str
    files: dict[str, Content]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str | bytes) -> "Record":
        """Parse a line of `to_json`; ValueError, TypeError or KeyError if it is invalid."""
        values = json.loads(line)
        split, part = values["key"]
        files = {name: Content(*content) for name, content in dict(values["files"]).items()}
        record = cls(**{**values, "key": Key(split, part), "files": files})
        for each in fields(record):
            value = getattr(record, each.name)
            if type(value) is not (get_origin(each.type) or each.type):
                raise TypeError(f"{each.name} is {value!r}, not of type {each.type}")
        numbers = [split, part, *(content.size for content in files.values())]
        hashes = [content.sha256 for content in files.values()]
        if not (
            all(type(number) is int and number >= 0 for number in numbers)
            and all(type(digest) is str for digest in hashes)
        ):
            raise ValueError(f"key {values['key']!r} or files {values['files']!r} are not valid")
        return record


def write_shard(folders: Folders, work: Embedded, format: str, dtype: str) -> Record:
    """Write a shard's files, each atomically; the same shard makes the same bytes.

    EngineError: the disk is full. Existing files of this shard are replaced.
    """
    shard = work.shard
    files = _shard_files(work, format, dtype)
    if shard.rejects:
        files[rejects_name(shard.key)] = rejects_lines(shard.rejects)
    for name, data in files.items():
        put(folders.path(name), data)
    return Record(
        shard.key, shard.last, len(work.vectors), work.tokens, work.cut, len(shard.rejects),
        shard.size, shard.digest, {name: Content.of(data) for name, data in files.items()},
    )  # fmt: skip


def rejects_name(key: Key) -> str:
    return f"rejects-{key}.jsonl"


def rejects_lines(rejects: list[Reject]) -> bytes:
    lines = (json.dumps(asdict(reject), ensure_ascii=False) + "\n" for reject in rejects)
    return "".join(lines).encode(errors="backslashreplace")


def put(path: Path, data: Any) -> None:
    """Write a file atomically: sync a temporary file to the disk, then rename it."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise explain(error, path) from error


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explain(error: OSError, path: Path) -> EngineError:
    why = FULL.get(error.errno or 0)
    if why is None:
        return EngineError(f"{path} cannot be written: {error.strerror or error}.")
    return EngineError(
        f"{path} cannot be written: {why}. Completed shards are kept; free some space and rerun "
        "the same command to resume."
    )


def _shard_files(work: Embedded, format: str, dtype: str) -> dict[str, Any]:
    name = f"{PART}{work.shard.key}"
    values, scales = convert(work.vectors, dtype)
    if format == "parquet":
        return {f"{name}.parquet": _parquet(work.shard.columns, values, scales)}
    files = {f"{name}.npy": _npy(values), f"{name}.ids.jsonl": _jsonl(work.shard.columns)}
    return files if scales is None else {**files, f"{name}.scale.npy": _npy(scales)}


def convert(vectors: NDArray[np.float32], dtype: str) -> tuple[NDArray[Any], Any]:
    """Convert vectors (n, D) to `dtype`; int8 comes with scales (n,), the others with None."""
    if dtype == "int8":
        return engine.quantize(vectors, "int8")
    return vectors.astype(dtype, copy=False), None


def _parquet(columns: pa.Table, values: NDArray[Any], scales: Any) -> pa.Buffer:
    flat = pa.array(values.reshape(-1))
    table = columns.append_column(
        EMBEDDING, pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    )
    numbers = f"{EMBEDDING}.list.element"
    packing = {**dict.fromkeys(columns.column_names, "zstd"), numbers: "none"}
    dictionaries = [*columns.column_names]
    if scales is not None:
        table = table.append_column(SCALE, pa.array(scales))
        # Parquet's smallest integer takes four bytes; an index into 255 values takes one.
        dictionaries.append(numbers)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression=packing, use_dictionary=dictionaries,
        write_statistics=columns.column_names, write_page_checksum=True, data_page_size=PAGE_BYTES,
    )  # fmt: skip
    return sink.getvalue()


def _npy(array: NDArray[Any]) -> memoryview:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=False)
    return sink.getbuffer()


def _jsonl(columns: pa.Table) -> bytes:
    rows = columns.to_pylist()
    lines = (json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
    return "".join(lines).encode()
