"""A shard's texts to its vectors, in steps small enough to show progress and bound memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import NotFinite
from engine.jobs.writing.shards import Shard

if TYPE_CHECKING:
    from engine.embedder import Embedder
    from engine.tokenizer.tokens import Tokens

CHUNK_TOKENS = 4096  # per thread: enough to balance the load; short, because Ctrl-C waits for it
TOKENIZE_CHARACTERS = 1 << 17
NOT_FINITE = "the vector that the model computes for it is not finite (NaN or infinity)"

Advance = Callable[[int, int, int], None]  # rows, tokens, bytes of input


@dataclass(frozen=True)
class How:
    """How a text becomes a vector. All fields decide the bits, so all are in the manifest."""

    prompt: str | None
    pooling: str
    normalize: bool | None
    truncate_dim: int | None


@dataclass(frozen=True)
class Tokenized:
    shard: Shard
    tokens: list["Tokens"]


@dataclass(frozen=True)
class Embedded:
    """A shard, its vectors (n, D) float32, and its counts of tokens and of truncated texts."""

    shard: Shard
    vectors: NDArray[np.float32]
    tokens: int
    cut: int


def tokenize(embedder: "Embedder", how: How, shard: Shard) -> Tokenized:
    """Tokenize in pieces: a tokenizer needs many times the memory of the text."""
    tokens: list[Tokens] = []
    for texts in _pieces(shard.texts):
        tokens += embedder.tokenize(texts, prompt=how.prompt)
    return Tokenized(shard, tokens)


def _pieces(texts: list[str]) -> Iterator[list[str]]:
    piece: list[str] = []
    size = 0
    for text in texts:
        piece.append(text)
        size += len(text)
        if size >= TOKENIZE_CHARACTERS:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def embed(embedder: "Embedder", how: How, work: Tokenized, advance: Advance) -> Embedded:
    """Compute a shard, longest texts first, so that texts of one length are computed together.

    A text whose vector is not finite becomes a rejected row.
    """
    lengths = np.array([len(tokens) for tokens in work.tokens], np.int64)
    total = int(lengths.sum())
    vectors = np.empty((len(lengths), how.truncate_dim or embedder.dim), np.float32)
    finite = np.ones(len(lengths), np.bool_)
    for rows in chunks(lengths, CHUNK_TOKENS * embedder.threads):
        finite[rows] = _compute(embedder, how, work.tokens, rows, vectors)
        done = int(lengths[rows].sum())
        advance(len(rows), done, work.shard.size * done // total)
    shard = work.shard.without(dict.fromkeys(np.flatnonzero(~finite).tolist(), NOT_FINITE))
    return Embedded(shard, vectors[finite], total, sum(tokens.cut > 0 for tokens in work.tokens))


def _compute(
    embedder: "Embedder",
    how: How,
    tokens: list["Tokens"],
    rows: NDArray[np.int64],
    vectors: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """Fill in the vectors of `rows`; return for each row whether its vector is finite."""
    finite = np.ones(len(rows), np.bool_)
    while finite.any():
        left = np.flatnonzero(finite)
        try:
            vectors[rows[left]] = embedder.encode_tokens(
                [tokens[row] for row in rows[left]],
                pooling=how.pooling,
                normalize=how.normalize,
                truncate_dim=how.truncate_dim,
            )
            break
        except NotFinite as error:
            if not error.texts:
                raise
            finite[left[list(error.texts)]] = False
    return finite


def chunks(lengths: NDArray[np.int64], budget: int) -> Iterable[NDArray[np.int64]]:
    """Group row numbers, longest rows first, into groups of about `budget` tokens."""
    if not len(lengths):
        return []
    order = np.argsort(-lengths, kind="stable")
    group = np.cumsum(lengths[order]) // budget
    return np.split(order, np.flatnonzero(np.diff(group)) + 1)
