"""Search, paraphrases and clusters over vectors: names and results as in sentence-transformers.

Vectors are numpy arrays, or what numpy makes an array of, such as tensors on the CPU. Everything is
computed exactly, in memory, and in blocks, so that no (n, n) array is held.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine import InputError

Floats = NDArray[np.floating[Any]]
Score = Callable[[Floats, Floats], Floats]


class Found(TypedDict):
    """One result of `semantic_search`: a row of the corpus, and its score."""

    corpus_id: int
    score: float


class Encodes(Protocol):
    """An `Embedder`, or anything else with its `encode`."""

    def encode(self, texts: Any, /, **options: Any) -> Any:
        """The vectors of n texts, (n, D)."""


def cos_sim(a: ArrayLike, b: ArrayLike) -> Floats:
    """Cosine of each row of `a`, (n, D) or (D,), with each row of `b`, (m, D) or (D,): (n, m)."""
    return dot_score(_unit(a), _unit(b))


def dot_score(a: ArrayLike, b: ArrayLike) -> Floats:
    """Dot product of each row of `a`, (n, D) or (D,), with each row of `b`: (n, m)."""
    a_ND, b_MD = _rows(a), _rows(b)
    if a_ND.shape[1] != b_MD.shape[1]:
        raise InputError(
            f"vectors of length {a_ND.shape[1]} and vectors of length {b_MD.shape[1]} cannot be "
            "compared; both must come from one model."
        )
    return a_ND @ b_MD.T


def semantic_search(
    query_embeddings: ArrayLike,
    corpus_embeddings: ArrayLike,
    query_chunk_size: int = 100,
    corpus_chunk_size: int = 500_000,
    top_k: int = 10,
    score_function: Score = cos_sim,
) -> list[list[Found]]:
    """For each query, the `top_k` rows of the corpus with the highest scores, best first.

    The chunk sizes bound memory: scores of query_chunk_size x corpus_chunk_size pairs are held.
    """
    _positive(query_chunk_size=query_chunk_size, corpus_chunk_size=corpus_chunk_size, top_k=top_k)
    queries, corpus = _rows(query_embeddings), _rows(corpus_embeddings)
    if score_function is cos_sim:  # unit length once, not for each block
        queries, corpus, score_function = _unit(queries), _unit(corpus), dot_score
    found: list[list[Found]] = []
    for start in range(0, len(queries), query_chunk_size):
        block = queries[start : start + query_chunk_size]
        scores, ids = _best(block, corpus, corpus_chunk_size, top_k, score_function)
        found += [
            [{"corpus_id": i, "score": score} for i, score in zip(*row, strict=True)]
            for row in zip(ids.tolist(), scores.tolist(), strict=True)
        ]
    return found


def paraphrase_mining(
    model: Encodes,
    sentences: Sequence[str],
    *,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: Score = cos_sim,
    **options: Any,
) -> list[tuple[float, int, int]]:
    """The most similar pairs of texts, as (score, i, j) with i < j, best first.

    model: an `Embedder`; `options` are those of its `encode`. top_k: for each text, this many
    candidates are looked at. max_pairs: at most so many pairs.
    """
    return paraphrase_mining_embeddings(
        model.encode(sentences, **options),
        query_chunk_size=query_chunk_size,
        corpus_chunk_size=corpus_chunk_size,
        max_pairs=max_pairs,
        top_k=top_k,
        score_function=score_function,
    )


def paraphrase_mining_embeddings(
    embeddings: ArrayLike,
    *,
    query_chunk_size: int = 5000,
    corpus_chunk_size: int = 100_000,
    max_pairs: int = 500_000,
    top_k: int = 100,
    score_function: Score = cos_sim,
) -> list[tuple[float, int, int]]:
    """`paraphrase_mining` for vectors (n, D)."""
    _positive(query_chunk_size=query_chunk_size, corpus_chunk_size=corpus_chunk_size)
    _positive(max_pairs=max_pairs, top_k=top_k)
    rows = _rows(embeddings)
    if score_function is cos_sim:  # unit length once, not for each block
        rows, score_function = _unit(rows), dot_score
    kept = np.empty(0), np.empty(0, np.int64)  # scores, and pairs as i * n + j
    for start in range(0, len(rows), query_chunk_size):
        block = rows[start : start + query_chunk_size]
        # one more than top_k, for the text itself
        scores, others = _best(block, rows, corpus_chunk_size, top_k + 1, score_function)
        own = np.arange(start, start + len(block))[:, None]
        other = others != own
        other &= np.cumsum(other, axis=1) <= top_k
        pairs = np.minimum(own, others) * len(rows) + np.maximum(own, others)
        both = np.concatenate([kept[0], scores[other]]), np.concatenate([kept[1], pairs[other]])
        _, first = np.unique(both[1], return_index=True)
        first = first[np.argsort(-both[0][first], kind="stable")[:max_pairs]]
        kept = both[0][first], both[1][first]
    i, j = np.divmod(kept[1], max(1, len(rows)))
    return list(zip(kept[0].tolist(), i.tolist(), j.tolist(), strict=True))


def community_detection(
    embeddings: ArrayLike,
    threshold: float = 0.75,
    min_community_size: int = 10,
    batch_size: int = 1024,
) -> list[list[int]]:
    """Groups of rows whose cosine with a central row is at least `threshold`, largest first.

    The first row of a group is its centre; the others follow by falling similarity. A row belongs
    to one group at most, and groups of fewer than min_community_size rows are left out.
    batch_size: the cosines of so many rows with all rows are held at once.
    """
    _positive(min_community_size=min_community_size, batch_size=batch_size)
    rows = _unit(embeddings)
    groups: list[tuple[int, NDArray[np.intp]]] = []
    for start in range(0, len(rows), batch_size):
        for centre, cosines in enumerate(rows[start : start + batch_size] @ rows.T, start):
            near = np.flatnonzero(cosines >= threshold)
            if len(near) >= min_community_size:
                groups.append((centre, near[np.argsort(-cosines[near], kind="stable")]))
    groups.sort(key=lambda group: -len(group[1]))
    taken = np.zeros(len(rows), bool)
    found = []
    for centre, near in groups:
        free = near[~taken[near]]
        if not taken[centre] and len(free) >= min_community_size:
            taken[free] = True
            found.append([centre, *free[free != centre].tolist()])
    return sorted(found, key=len, reverse=True)


def _best(
    queries: Floats, corpus: Floats, chunk: int, k: int, score: Score
) -> tuple[Floats, NDArray[np.int64]]:
    """The k highest scores of each query with their rows, highest first; if equal, by row."""
    scores: Floats = np.empty((len(queries), 0), queries.dtype)
    ids: NDArray[np.int64] = np.empty((len(queries), 0), np.int64)
    for start in range(0, len(corpus), chunk):
        more = np.asarray(score(queries, corpus[start : start + chunk]))
        rows = np.broadcast_to(np.arange(start, start + more.shape[1]), more.shape)
        scores, ids = np.concatenate([scores, more], axis=1), np.concatenate([ids, rows], axis=1)
        if scores.shape[1] > k:
            top = np.argpartition(scores, -k, axis=1)[:, -k:]
            scores, ids = np.take_along_axis(scores, top, axis=1), np.take_along_axis(ids, top, 1)
    order = np.lexsort((ids, -scores), axis=1)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)


def _rows(vectors: ArrayLike) -> Floats:
    """The vectors as rows of floats (n, D). Raises InputError."""
    array = np.asarray(vectors)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise InputError(
            f"vectors are of shape {array.shape} and type {array.dtype}; give (D,) or (n, D) of "
            "numbers."
        )
    return np.atleast_2d(array if array.dtype.kind == "f" else array.astype(np.float32))


def _unit(vectors: ArrayLike) -> Floats:
    """Rows of unit length; a row of zeros stays as it is."""
    rows = _rows(vectors)
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit


def _positive(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, int | np.integer) or count < 1:
            raise InputError(f"{name} is {count!r}; it must be a positive integer.")
