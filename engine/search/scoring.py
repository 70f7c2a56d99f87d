"""The nearest rows of a shard: float32 products choose candidates, and float64 ranks them.

So the order does not depend on how a matrix product rounds, and equal vectors have equal scores.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.jobs.writing.stored import Vectors

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# "unit": vectors of length 1, whose dot product is the cosine. "cosine": the dot product divided by
# the length of the stored vector. "dot": the dot product of vectors of any length.
Metric = Literal["unit", "cosine", "dot"]

PIECE_ROWS = 1 << 12  # scored at a time, which bounds memory
CONVERTED = 1 << 18  # numbers converted to float32 at a time: they stay in a core's own cache
LONGEST_UNIT = 1.02  # float16 and int8 change lengths a little


@dataclass(frozen=True)
class Best:
    """Rows and their scores, best first; equal scores are in the order of the rows."""

    scores: Doubles
    rows: NDArray[np.int64]


def merged(parts: Sequence[Best], k: int) -> Best:
    """The k best of all."""
    scores = np.concatenate([np.empty(0), *(part.scores for part in parts)])
    rows = np.concatenate([np.empty(0, np.int64), *(part.rows for part in parts)])
    order = np.lexsort((rows, -scores))[:k]
    return Best(scores[order], rows[order])


def is_unit(vectors: Vectors) -> bool:
    """Whether the vectors have length 1, up to the rounding of their type."""
    lengths = np.linalg.norm(_doubles(vectors, np.arange(len(vectors.values))), axis=1)
    return bool((np.abs(lengths - 1) < LONGEST_UNIT - 1).all())


def nearest(
    vectors: Vectors,
    queries_MD: Doubles,
    k: int,
    metric: Metric,
    allowed: NDArray[np.bool_] | None = None,
) -> list[Best]:
    """For each query the k best of n vectors; rows are counted from 0.

    allowed: for each vector whether it may be found, (n,).
    """
    found: list[list[Best]] = [[] for _ in queries_MD]
    for start in range(0, len(vectors.values), PIECE_ROWS):
        stop = start + PIECE_ROWS
        piece = vectors.rows(slice(start, stop))
        usable = None if allowed is None else allowed[start:stop]
        scores_NM, longest = _scores(piece, queries_MD.astype(np.float32), metric)
        scores_MN = np.ascontiguousarray(scores_NM.T)
        for query_D, scores_N, best in zip(queries_MD, scores_MN, found, strict=True):
            error = _error(len(query_D)) * longest * float(np.linalg.norm(query_D))
            rows = _candidates(scores_N, k, 2 * error, usable)
            best.append(Best(_exact(piece, rows, query_D, metric), start + rows))
    return [merged(best, k) for best in found]


def _error(dim: int) -> float:
    """Bound of the rounding error of a float32 dot product, for vectors of length 1.

    Each of the dim products and sums adds at most 2**-24 of the product of the lengths, in any
    order of summation; so do the conversion of the query, the scale and the division.
    """
    return (dim + 8) * 2.0**-24


def _scores(piece: Vectors, queries_MD: Floats, metric: Metric) -> tuple[Floats, float]:
    """Scores (n, M), and the factor by which the lengths of the vectors enlarge their errors."""
    scores_NM = np.empty((len(piece.values), len(queries_MD)), np.float32)
    lengths_N = None if metric == "unit" else np.empty(len(scores_NM), np.float32)
    for rows, block_ND in _blocks(piece.values):
        if len(queries_MD) == 1:  # faster than BLAS's product with one vector: as fast as memory
            np.vecdot(block_ND, queries_MD[0], out=scores_NM[rows, 0])
        else:
            np.matmul(block_ND, queries_MD.T, out=scores_NM[rows])
        if lengths_N is not None:
            lengths_N[rows] = np.sqrt(np.vecdot(block_ND, block_ND))
    if piece.scales is not None and metric != "cosine":  # the scale is in both, and cancels
        scores_NM *= piece.scales[:, None]
    if lengths_N is None:
        return scores_NM, LONGEST_UNIT
    if metric == "cosine":
        np.divide(scores_NM.T, lengths_N, out=scores_NM.T, where=lengths_N > 0)
        return scores_NM, 1.0
    if piece.scales is not None:
        lengths_N *= piece.scales
    return scores_NM, float(lengths_N.max())


def _blocks(values_ND: NDArray[Any]) -> Iterator[tuple[slice, Floats]]:
    """The rows as aligned float32, which BLAS needs: as they are, or converted in small blocks."""
    if values_ND.dtype == np.float32 and values_ND.flags.aligned:
        yield slice(None), values_ND
        return
    step = max(1, CONVERTED // values_ND.shape[1])
    buffer = np.empty((step, values_ND.shape[1]), np.float32)
    for start in range(0, len(values_ND), step):
        block = values_ND[start : start + step]
        np.copyto(buffer[: len(block)], block)
        yield slice(start, start + len(block)), buffer[: len(block)]


def _candidates(
    scores_N: Floats, k: int, margin: float, allowed: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """The rows that may be among the k best: within `margin` of the k-th best score."""
    rows = np.arange(len(scores_N)) if allowed is None else np.flatnonzero(allowed)
    scores = scores_N if allowed is None else scores_N[rows]
    if len(scores) <= k:
        return rows
    least = np.partition(scores, -k)[-k] - margin
    near: NDArray[np.int64] = rows[scores >= least]
    return near


def _exact(piece: Vectors, rows: NDArray[np.int64], query_D: Doubles, metric: Metric) -> Doubles:
    vectors_ND = _doubles(piece, rows)
    scores: Doubles = (vectors_ND * query_D).sum(axis=1)
    if metric == "cosine":
        lengths = np.linalg.norm(vectors_ND, axis=1)
        np.divide(scores, lengths, out=scores, where=lengths > 0)
    return scores


def _doubles(vectors: Vectors, rows: NDArray[np.int64]) -> Doubles:
    doubles = vectors.values[rows].astype(np.float64)
    return doubles if vectors.scales is None else doubles * vectors.scales[rows, None]
