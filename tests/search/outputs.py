"""Output folders as `bge job` writes them, of given vectors and columns, without a model."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from engine.jobs.embedding import Embedded
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.row_hashes import hash_texts, rows_of
from engine.jobs.writing.shard_files import write_shard
from engine.jobs.writing.shards import Key, Shard
from engine.jobs.writing.store import Store
from engine.jobs.writing.stored import convert

FORMATS, DTYPES = ("parquet", "npy"), ("float32", "float16", "int8")


def unit(count: int, dim: int = 24, seed: int = 0) -> np.ndarray:
    """Random vectors of length 1."""
    draw = np.random.default_rng(seed).standard_normal((count, dim), np.float32)
    return draw / np.linalg.norm(draw, axis=1, keepdims=True)


def manifest(dim: int, **changes: Any) -> dict[str, Any]:
    return {
        "version": 3, "model": "fake", "model_hash": "f" * 64, "precision": "float32", "dim": dim,
        "pooling": "cls", "prompt": None, "normalize": None, "text": {}, "id": "id",
        "format": "parquet", "dtype": "float32", "inputs": [], **changes,
    }  # fmt: skip


def write_output(
    folder: Path,
    vectors: np.ndarray,
    *,
    shard_rows: int = 50,
    finish: bool = True,
    columns: dict[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """A finished job of these vectors; `changes` are those of its manifest."""
    facts = manifest(vectors.shape[1], **changes)
    table = pa.table({"id": range(len(vectors)), **(columns or {})})
    facts["columns"] = [f"{field.name}: {field.type}" for field in table.schema]
    with Store(Folders.of(folder), facts, 1) as store:
        starts = range(0, max(1, len(vectors)), shard_rows)
        for part, start in enumerate(starts):
            rows = table.slice(start, shard_rows)
            shard = Shard(
                Key(0, part), start == starts[-1], [""] * len(rows), ["in"],
                [(0, row) for row in range(len(rows))], rows, [], "digest", 1,
            )  # fmt: skip
            marks = rows_of(hash_texts(shard.texts))
            part_vectors = convert(vectors[start : start + shard_rows], facts["dtype"])
            work = Embedded(shard, part_vectors, marks, len(rows), 0)
            store.add(write_shard(store.folders, work, facts["format"], "id"))
        if finish:
            store.finish()
    return folder
