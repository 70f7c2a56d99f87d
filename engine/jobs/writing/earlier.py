"""The vectors of an earlier output, found by the hashes of their texts."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from engine.jobs.embedding import Known, Work, all_new, distinct
from engine.jobs.options import EMBEDDING, SCALE
from engine.jobs.writing.folders import PART, Folders
from engine.jobs.writing.record import Record
from engine.jobs.writing.row_hashes import ROW, Lookup, hash_texts
from engine.jobs.writing.shard_files import rows_name
from engine.jobs.writing.shards import Shard
from engine.jobs.writing.stored import Source, Vectors, joined

OPEN_SHARDS = 4  # neighbouring rows are mostly in one shard, or in two
# What decides the stored vector of a text, and what else decides the bytes of a shard's files.
VECTOR_FACTS = (
    "model_hash", "settings_hash", "precision", "numerics", "dim", "pooling", "prompt", "normalize",
    "dtype",
)  # fmt: skip
FILE_FACTS = ("columns", "id", "format", "chunk_tokens", "chunk_overlap")

Piece = TypeVar("Piece")


class Earlier:
    """Finished shards of an output that nobody writes to. It holds about 32 bytes a row."""

    def __init__(self, folders: Folders, manifest: dict[str, Any], records: list[Record]) -> None:
        self.folders, self._manifest = folders, manifest
        self._records = sorted((one for one in records if one.rows), key=lambda one: one.key)
        self._by_digest = {record.digest: record for record in records}
        self._starts = np.cumsum([0, *(record.rows for record in self._records)])
        self._texts = Lookup(self.column("text"))
        self._open = lru_cache(OPEN_SHARDS)(self._read)

    def column(self, name: str) -> NDArray[Any]:
        """Return a field of ROW of all rows, in order."""
        pieces = [self._rows(shard)[name] for shard in range(len(self._records))]
        return np.concatenate([np.empty(0, ROW[name]), *pieces])

    def same(self, shard: Shard) -> Work | None:
        """Return the plan to take the files of an earlier shard with the same rows, if any."""
        same = self._by_digest.get(shard.digest)
        if same and same.rejects == len(shard.rejects):  # else its model rejected rows too
            return Work(shard, hash_texts([]), [], np.empty(0, np.int64), same=same)
        return None

    def work(self, shard: Shard) -> Work:
        """Plan a shard: only texts without a vector are computed, equal ones once."""
        hashes = hash_texts(shard.texts)
        firsts, picks = distinct(hashes)
        found = self._texts.find(hashes[firsts])
        if (found < 0).all():
            return all_new(shard)
        new = found < 0
        place = np.where(new, np.cumsum(new) - 1, new.sum() + np.cumsum(~new) - 1)
        texts = [shard.texts[i] for i in firsts[new]]
        return Work(shard, hashes, texts, place[picks], self.take(found[~new]))

    def take(self, rows: NDArray[np.int64]) -> Known:
        """Return the vectors and counts of rows by their number, in the order asked for."""
        vectors = joined(self._gather(rows, lambda shard, part: self._open(shard).rows(part)))
        marks = np.concatenate(self._gather(rows, lambda shard, part: self._rows(shard)[part]))
        back = np.argsort(np.argsort(rows, kind="stable"), kind="stable")
        return Known(vectors.rows(back), marks["tokens"][back].astype(np.int64), marks["cut"][back])

    def columns(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return the columns other than the vectors, of rows in ascending order, from Parquet."""
        return pa.concat_tables(self._gather(rows, self._columns)).combine_chunks()

    def _gather(
        self, rows: NDArray[np.int64], read: Callable[[int, NDArray[np.int64]], Piece]
    ) -> list[Piece]:
        """Read the rows, sorted, from each shard that has some."""
        rows = np.sort(rows)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        return [
            read(int(shard), rows[shards == shard] - self._starts[shard])
            for shard in np.unique(shards)
        ]

    def _columns(self, shard: int, part: NDArray[np.int64]) -> pa.Table:
        with pq.ParquetFile(f"{self._stem(shard)}.parquet") as file:
            names = [name for name in file.schema_arrow.names if name not in (EMBEDDING, SCALE)]
            return file.read(columns=names).take(part)

    def _rows(self, shard: int) -> NDArray[np.void]:
        path = self.folders.path(rows_name(self._records[shard].key))
        rows: NDArray[np.void] = np.load(path, mmap_mode="r", allow_pickle=False)
        return rows

    def _read(self, shard: int) -> Vectors:
        return Source(self._stem(shard), self._records[shard].rows, self._manifest).read()

    def _stem(self, shard: int) -> Path:
        return self.folders.data / f"{PART}{self._records[shard].key}"
