"""A shard on disk: the bytes of its files, written atomically."""

import errno
import io
import json
import os
import secrets
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.jobs.embedding import Embedded
from engine.jobs.options import EMBEDDING, SCALE
from engine.jobs.writing.folders import PART, Folders
from engine.jobs.writing.record import Content, Record
from engine.jobs.writing.row_hashes import hash_ids
from engine.jobs.writing.shards import Key, Reject, Shard

FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is exceeded",
        errno.EFBIG: "the file size limit is reached"}  # fmt: skip
TEMPORARY = ".new-"
# One page holds the vectors of a usual shard: they lie together, so that they can be mapped.
PAGE_BYTES = 1 << 26


def write_shard(folders: Folders, work: Embedded, format: str, id: str | None) -> Record:
    """Write a shard's files, each atomically; the same shard makes the same bytes.

    EngineError: the disk is full. Existing files of this shard are replaced.
    """
    shard = work.shard
    files = _shard_files(work, format)
    work.rows["id"] = hash_ids(shard.columns, id)
    files[rows_name(shard.key)] = _npy(work.rows)
    if shard.rejects:
        files[rejects_name(shard.key)] = rejects_lines(shard.rejects)
    for name, data in files.items():
        put(folders.path(name), data)
    return Record(
        shard.key, shard.last, len(work.rows), work.tokens, work.cut, len(shard.rejects),
        shard.size, shard.digest, {name: Content.of(data) for name, data in files.items()},
    )  # fmt: skip


def link_shard(folders: Folders, shard: Shard, earlier: Folders, same: Record) -> Record:
    """Give the files of an earlier shard with the same rows to this one, without copying them."""
    files = {name.replace(str(same.key), str(shard.key)): name for name in same.files}
    for name, old in files.items():
        link(earlier.path(old), folders.path(name))
    contents = {name: same.files[old] for name, old in files.items()}
    return replace(same, key=shard.key, last=shard.last, size=shard.size, files=contents)


def rows_name(key: Key) -> str:
    return f"rows-{key}.npy"


def rejects_name(key: Key) -> str:
    return f"rejects-{key}.jsonl"


def rejects_lines(rejects: list[Reject]) -> bytes:
    facts = ({k: v for k, v in asdict(reject).items() if v is not None} for reject in rejects)
    lines = (json.dumps(each, ensure_ascii=False) + "\n" for each in facts)
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


def link(old: Path, new: Path) -> None:
    """Make `new` a hard link of `old`, or a copy where the file system has no links."""
    temporary = new.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{new.name}")
    try:
        temporary.hardlink_to(old)
    except OSError:
        put(new, old.read_bytes())
    else:
        temporary.replace(new)
        sync_folder(new.parent)


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


def _shard_files(work: Embedded, format: str) -> dict[str, Any]:
    name = f"{PART}{work.shard.key}"
    values, scales = work.vectors.values, work.vectors.scales
    if format == "parquet":
        return {f"{name}.parquet": _parquet(work.shard.columns, values, scales)}
    files = {f"{name}.npy": _npy(values), f"{name}.ids.jsonl": _jsonl(work.shard.columns)}
    return files if scales is None else {**files, f"{name}.scale.npy": _npy(scales)}


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
