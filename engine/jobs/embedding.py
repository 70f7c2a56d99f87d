"""A shard's texts to its vectors, in steps small enough to show progress and bound memory."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import NotFinite
from engine.jobs.writing.record import Record
from engine.jobs.writing.row_hashes import Hashes, hash_texts, rows_of
from engine.jobs.writing.shards import Shard
from engine.jobs.writing.stored import Vectors, convert, joined

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
    dtype: str = "float32"  # in which it is stored
    chunk_tokens: int | None = None  # None: a text is one row, cut at the limit of the model
    chunk_overlap: float = 0.0


@dataclass(frozen=True)
class Known:
    """Vectors (n, D) as an output stores them, and the counts of their texts' tokens."""

    vectors: Vectors
    tokens: NDArray[np.int64]
    cut: NDArray[np.bool_]


@dataclass(frozen=True)
class Work:
    """A shard, and where the vectors of its rows come from.

    hashes: of its texts. texts: to be computed, each once. picks: for each row, the place of its
    vector among these, followed by `known`. same: the record of an earlier shard with the same
    rows, whose files are taken as they are; nothing is computed then.
    """

    shard: Shard
    hashes: Hashes
    texts: list[str]
    picks: NDArray[np.int64]
    known: Known | None = None
    same: Record | None = None


@dataclass(frozen=True)
class Tokenized:
    work: Work
    tokens: list["Tokens"]


@dataclass(frozen=True)
class Embedded:
    """A shard and its vectors; a ROW for each; the counts of tokens and of truncated texts, which
    include rejected rows."""

    shard: Shard
    vectors: Vectors
    rows: NDArray[np.void]
    tokens: int
    cut: int
    same: Record | None = None


def all_new(shard: Shard) -> Work:
    """Compute each text of a shard, equal ones once."""
    hashes = hash_texts(shard.texts)
    firsts, picks = distinct(hashes)
    return Work(shard, hashes, [shard.texts[i] for i in firsts], picks)


def distinct(hashes: Hashes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where each distinct hash comes first, in order, and for each hash which it is."""
    _, firsts, picks = np.unique(hashes, return_index=True, return_inverse=True)
    return np.sort(firsts), np.argsort(np.argsort(firsts))[picks]


def tokenize(embedder: "Embedder", how: How, work: Work) -> Tokenized:
    """Tokenize in pieces: a tokenizer needs many times the memory of the text."""
    tokens: list[Tokens] = []
    for texts in _pieces(work.texts):
        tokens += embedder.tokenize(texts, prompt=how.prompt)
    return Tokenized(work, tokens)


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


def embed(embedder: "Embedder", how: How, tokenized: Tokenized, advance: Advance) -> Embedded:
    """Compute a shard, longest texts first, so that texts of one length are computed together.

    A text whose vector is not finite becomes a rejected row.
    """
    work, tokens = tokenized.work, tokenized.tokens
    lengths = np.array([len(each) for each in tokens], np.int64)
    total, rows_left, left = int(lengths.sum()), len(work.shard.texts), work.shard.size
    vectors = np.zeros((len(lengths), how.truncate_dim or embedder.dim), np.float32)
    finite = np.ones(len(lengths), np.bool_)
    for rows in chunks(lengths, CHUNK_TOKENS * embedder.threads):
        finite[rows] = _compute(embedder, how, tokens, rows, vectors)
        done = int(lengths[rows].sum())
        read = work.shard.size * done // total * len(lengths) // len(work.picks)
        rows_left, left = rows_left - len(rows), left - read
        advance(len(rows), done, read)
    advance(rows_left, 0, left)  # what was known, and equal texts
    cut = np.array([each.cut > 0 for each in tokens], np.bool_)
    return _gathered(work, Known(convert(vectors, how.dtype), lengths, cut), finite)


def _gathered(work: Work, new: Known, finite: NDArray[np.bool_]) -> Embedded:
    """Put computed and known vectors in the order of the rows."""
    vectors, tokens, cut = new.vectors, new.tokens, new.cut
    if work.known:
        vectors = joined([vectors, work.known.vectors])
        tokens = np.concatenate([tokens, work.known.tokens])
        cut = np.concatenate([cut, work.known.cut])
        finite = np.concatenate([finite, np.ones(len(work.known.tokens), np.bool_)])
    picks, good = work.picks, _whole_rows(work.shard, finite[work.picks])
    shard = work.shard.without(dict.fromkeys(np.flatnonzero(~good).tolist(), NOT_FINITE))
    rows = rows_of(work.hashes[good], tokens[picks[good]], cut[picks[good]])
    counts = int(tokens[picks].sum()), int(cut[picks].sum())
    return Embedded(shard, vectors.rows(picks[good]), rows, *counts, work.same)


def _whole_rows(shard: Shard, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which texts are good with all other chunks of their row."""
    if good.all():
        return good
    bad = {shard.places[i] for i in np.flatnonzero(~good)}
    return np.array([place not in bad for place in shard.places], np.bool_)


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
