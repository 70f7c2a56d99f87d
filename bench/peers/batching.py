"""How a peer is run whose user batches by hand: texts sorted by length, padded, pooled, normalised.

The user chooses how many texts a batch has, and whether one batch after another takes all threads
or several batches are computed side by side, each on its share of the threads.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.checkpoints import Checkpoint

INPUTS = ("input_ids", "attention_mask", "token_type_ids")

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
Batch = tuple[Ids, Ids]  # ids and mask, (n, L) each


@dataclass(frozen=True)
class Settings:
    """Texts in a batch, and how many batches are computed side by side."""

    batch: int = 32
    streams: int = 1

    def __str__(self) -> str:
        return f"{self.batch} x {self.streams}"


@dataclass(frozen=True)
class Setup:
    """What an engine is built from. `streams` share the threads; `variant` is the family's word."""

    checkpoint: Checkpoint
    threads: int
    variant: str
    streams: int = 1

    @property
    def threads_a_stream(self) -> int:
        return self.threads // self.streams


class Engine(Protocol):
    def encode(self, texts: Sequence[str], batch: int) -> Vectors:
        """Unit vectors, (n, D), computed in batches of so many texts where that is asked."""


class Batched:
    """Sorts and pads; a subclass computes the states of one batch."""

    def __init__(self, setup: Setup) -> None:
        from tokenizers import Tokenizer

        self.setup, self.checkpoint = setup, setup.checkpoint
        self.tokenizer = Tokenizer.from_file(str(self.checkpoint.folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.checkpoint.max_tokens)
        self.pool = ThreadPoolExecutor(setup.streams, initializer=self.enter_thread)

    def enter_thread(self) -> None:
        """What a library wants of each thread that calls it."""

    def states(self, ids: Ids, mask: Ids) -> Vectors:
        """Last hidden states, (n, L, D)."""
        raise NotImplementedError

    def encode(self, texts: Sequence[str], batch: int) -> Vectors:
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        # longest first, so that the streams end at about the same time
        order = sorted(range(len(ids)), key=lambda at: len(ids[at]), reverse=True)
        groups = [order[start : start + batch] for start in range(0, len(order), batch)]
        batches = [padded([ids[at] for at in group]) for group in groups]
        vectors = np.empty((len(ids), self.checkpoint.bert["hidden_size"]), np.float32)
        for group, pooled in zip(groups, self.run(batches), strict=True):
            vectors[group] = pooled
        return unit(vectors)

    def run(self, batches: Sequence[Batch]) -> Iterable[Vectors]:
        """Pooled vectors of every batch, in order."""
        if self.setup.streams == 1 or len(batches) == 1:
            return map(self.pooled, batches)
        return self.pool.map(self.pooled, batches)

    def pooled(self, batch: Batch) -> Vectors:
        return pool(self.states(*batch), batch[1], self.checkpoint.pooling)


def padded(ids: Sequence[Sequence[int]]) -> Batch:
    shape = len(ids), max(map(len, ids))
    rows, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, seen, text in zip(rows, mask, ids, strict=True):
        row[: len(text)], seen[: len(text)] = text, 1
    return rows, mask


def pool(states: Vectors, mask: Ids, pooling: str) -> Vectors:
    """(n, L, D) -> (n, D): the first token ("cls"), or the mean of the tokens that are no padding.

    The result is an array of its own.
    """
    if pooling == "cls":
        return states[:, 0].copy()
    weights = mask.astype(np.float32)[:, None, :]
    means: Vectors = (weights @ states)[:, 0] / mask.sum(axis=1, dtype=np.float32)[:, None]
    return means


def unit(vectors: Vectors) -> Vectors:
    scaled: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def named_inputs(ids: Ids, mask: Ids) -> dict[str, Ids]:
    return dict(zip(INPUTS, (ids, mask, np.zeros_like(ids)), strict=True))
