"""`Index`: an output folder that is open for searches."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import InputError
from engine.jobs.writing.stored import Source
from engine.search.columns import Columns, Where
from engine.search.output import read_output
from engine.search.queries import Queries
from engine.search.scoring import Best, Doubles, Metric, is_unit, merged, nearest
from engine.system.blas import at_most
from engine.system.cores import usable_cores

TOGETHER = 256  # queries whose scores are in memory at the same time
SAMPLE = slice(64)  # rows that tell whether vectors have length 1: a job treats all alike


@dataclass(frozen=True)
class Hit:
    """A row that was found.

    score: the cosine of query and vector; their dot product if the model compares by that.
    row: its number in the output, from 0. columns: id (or file and row), and those of --keep.
    """

    score: float
    row: int
    columns: dict[str, Any]


class Index:
    """The output of a job, open for searches. Made by `engine.search.open`.

    Safe to share between threads.
    """

    def __init__(self, folder: Path, queries: Queries, threads: int | None) -> None:
        self._output, self._queries = read_output(folder), queries
        self._threads = usable_cores() if threads is None else _positive("threads", threads)
        self._columns = Columns(self._output)
        self._sources = [
            Source(shard.stem, shard.rows, self.manifest) for shard in self._output.shards
        ]
        self._firsts = [shard.first for shard in self._output.shards]

    def __len__(self) -> int:
        """The number of vectors, n."""
        return self._output.rows

    @property
    def manifest(self) -> dict[str, Any]:
        """What the job wrote about itself: model, precision, dim, dtype, inputs and so on."""
        return self._output.manifest

    def search(self, query: str | ArrayLike, k: int = 10, *, where: Where = ()) -> list[Hit]:
        """The k nearest rows, best first; fewer if fewer meet `where`.

        query: a text, or a vector (D,). where: "COLUMN=VALUE", or with != < <= > >=; a list of
        such conditions, which must all hold; or an expression of pyarrow.compute. Rows of equal
        score come in the order of the output. Raises InputError.
        """
        one = [query] if isinstance(query, str) else np.asarray(query)[None]
        return self.search_many(one, k, where=where)[0]

    def search_many(
        self, queries: Iterable[str] | ArrayLike, k: int = 10, *, where: Where = ()
    ) -> list[list[Hit]]:
        """As `search`, for each of many texts, or of many vectors (M, D)."""
        k = _positive("k", k)
        vectors_MD = self._vectors(queries)
        parts = range(0, len(vectors_MD), TOGETHER)
        found = [self._nearest(vectors_MD[at : at + TOGETHER], k, where) for at in parts]
        return [self._hits(best) for part in found for best in part]

    def close(self) -> None:
        """Release the model and the files; the index cannot be used afterwards."""
        self._queries.close()
        self._sources.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _vectors(self, queries: Any) -> Doubles:
        """Queries as vectors (M, D), of length 1 where scores are cosines."""
        given = queries if isinstance(queries, np.ndarray) else list(queries)
        if len(given) and all(isinstance(query, str) for query in given):
            given = self._queries.encode(list(given), self.manifest)
        try:
            vectors_MD = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"queries are neither texts nor vectors: {error}") from error
        dim = self.manifest["dim"]
        if len(given) and vectors_MD.shape[1:] != (dim,):
            raise InputError(
                f"a query has shape {vectors_MD.shape[1:]}; the vectors of this output have {dim} "
                f"components, so it must be ({dim},)."
            )
        lengths_M1 = np.linalg.norm(vectors_MD.reshape(-1, dim), axis=1, keepdims=True)
        if not np.isfinite(lengths_M1).all() or (lengths_M1 == 0).any():
            raise InputError("a query vector is zero, or holds NaN or infinity.")
        return vectors_MD if self._metric == "dot" else vectors_MD / lengths_M1

    @cached_property
    def _metric(self) -> Metric:
        """How to compare: vectors that have not length 1, as the model's checkpoint says."""
        unit = not self._sources or is_unit(self._sources[0].read().rows(SAMPLE))
        if unit:
            return "unit"
        similarity = self._queries.embedder(self.manifest).config.similarity
        if similarity == "cosine" or similarity == "dot":
            return similarity
        raise InputError(
            f"the vectors have not length 1, and the model compares them by {similarity}; search "
            "knows cosine and dot. Run the job with --normalize."
        )

    def _nearest(self, queries_MD: Doubles, k: int, where: Where) -> list[Best]:
        scan = partial(self._scan, queries_MD, k, where)
        with ThreadPoolExecutor(self._threads, "bge-search") as pool:
            try:
                shards = list(pool.map(scan, range(len(self._sources))))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return [merged([each[query] for each in shards], k) for query in range(len(queries_MD))]

    def _scan(self, queries_MD: Doubles, k: int, where: Where, number: int) -> list[Best]:
        """The k best of a shard for each query, with row numbers of the whole output."""
        shard, allowed = self._output.shards[number], None
        if not isinstance(where, Sequence) or len(where):
            allowed = self._columns.mask(shard, where)
        vectors = self._sources[number].read()
        with at_most(1):  # each thread has a shard of its own
            found = nearest(vectors, queries_MD, k, self._metric, allowed)
        return [Best(best.scores, shard.first + best.rows) for best in found]

    def _hits(self, best: Best) -> list[Hit]:
        """The rows that were found, with their columns; each shard is read once."""
        numbers = np.searchsorted(self._firsts, best.rows, side="right") - 1
        columns: dict[int, dict[str, Any]] = {}
        for number in set(numbers.tolist()):
            rows = best.rows[numbers == number]
            shard = self._output.shards[number]
            found = self._columns.of_rows(shard, rows - shard.first)
            columns.update(zip(rows.tolist(), found, strict=True))
        pairs = zip(best.scores.tolist(), best.rows.tolist(), strict=True)
        return [Hit(score, row, columns[row]) for score, row in pairs]


def _positive(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a positive integer.")
    return int(value)
