"""One request on its way through the batcher, and its texts one by one."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import Embedder
from engine.literals import Side

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants done with its texts."""

    pooling: str = "mean"
    side: Side | None = None  # where a text over the limit is cut; None: as the checkpoint says
    cut: bool = True  # False: a text over the limit fails the request (TooLong)
    per_token: bool = False  # the last hidden state of each token instead of a vector a text
    background: bool = False  # behind the others, and not counted among them
    only_if_idle: bool = False  # refuse rather than wait


class Job:
    """One request on its way through the batcher."""

    def __init__(self, texts: Sequence[str], wish: Wish, done: asyncio.Future[None]) -> None:
        self.wish, self.done = wish, done
        self.entries = [Entry(self, i, text) for i, text in enumerate(texts)]
        self.rows: list[Any] = [None] * len(texts)
        self.left = len(texts)
        self.accepted = time.perf_counter()
        self.tokenised = self.began = self.ended = self.accepted

    @property
    def tokens(self) -> int:
        """Tokens computed, special ones included."""
        return sum(entry.cost for entry in self.entries)

    @property
    def cut(self) -> int:
        """How many texts were longer than the model's limit."""
        return sum(1 for entry in self.entries if entry.tokens.cut)

    def vectors(self, *, normalize: bool = True, truncate_dim: int | None = None) -> Vectors:
        """The finished vectors, (n, D)."""
        pooled = self.rows[0][None] if len(self.rows) == 1 else np.stack(self.rows)
        return Embedder.finish(pooled, normalize=normalize, truncate_dim=truncate_dim)

    def put(self, entry: "Entry", row: Vectors, began: float, ended: float) -> None:
        """Takes the result of one text; the last one ends the job."""
        if self.left == len(self.rows):
            self.began = began
        del entry.job  # the entry is done with, and a cycle would keep the texts until a collection
        self.rows[entry.index] = row
        self.left -= 1
        if not self.left and not self.done.done():
            self.ended = ended
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Entry:
    """One text of a job; `cost` counts characters until it is tokenised, then tokens."""

    __slots__ = ("background", "cost", "index", "job", "text", "tokens")

    def __init__(self, job: Job, index: int, text: str) -> None:
        self.job, self.index, self.text = job, index, text
        self.background = job.wish.background
        self.cost = len(text) + 1
        self.tokens: Any = None
