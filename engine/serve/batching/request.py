"""The work of one request in the batcher, and its texts."""

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
Text = Any  # a string, or the tokens that `Embedder.tokens_of` gives
MOST_UNITS = 512  # of a text: models cut what is longer
UNITS = 256  # requests of fewer units are small: one class


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """How the texts of one request are computed and scheduled."""

    pooling: str
    truncation_side: Side | None = None  # None: the checkpoint's
    truncate: bool = True  # False: a text over the limit fails the request (TooLong)
    per_token: bool = False  # the last hidden state of each token, not one vector per text
    background: bool = False  # low priority, and not counted in the limits
    only_if_idle: bool = False  # refuse instead of waiting behind other requests


class Work:
    """One request's texts, their results, and when each stage ended (`time.perf_counter`)."""

    def __init__(
        self, texts: Sequence[Text], options: WorkOptions, done: asyncio.Future[None]
    ) -> None:
        self.options, self.done = options, done
        self.items = [TextItem(self, i, text) for i, text in enumerate(texts)]
        self.units = sum(item.units for item in self.items)  # of what is not computed yet
        self.counted = False  # in a forecast
        # Requests of one class are of about the same size, within a factor of four.
        self.size_class = (self.units // UNITS).bit_length() // 2
        self.rows: list[Any] = [None] * len(texts)
        self.left = len(texts)
        self.accepted = time.perf_counter()
        self.tokenised = self.began = self.ended = self.accepted

    @property
    def times(self) -> tuple[float, ...]:
        """When it was accepted, tokenised, begun to be computed, and ended."""
        return self.accepted, self.tokenised, self.began, self.ended

    @property
    def tokens(self) -> int:
        """Number of tokens computed, special tokens included."""
        return sum(item.cost for item in self.items)

    @property
    def truncated(self) -> int:
        """Number of texts that were longer than the model's limit."""
        return sum(1 for item in self.items if item.tokens.cut)

    def vectors(self, *, normalize: bool = True, truncate_dim: int | None = None) -> Vectors:
        """The finished vectors, (n, D)."""
        pooled = self.rows[0][None] if len(self.rows) == 1 else np.stack(self.rows)
        return Embedder.finish(pooled, normalize=normalize, truncate_dim=truncate_dim)

    def put(self, item: "TextItem", row: Vectors, began: float, ended: float) -> None:
        """Stores the result of one text; the last one completes the work."""
        if self.left == len(self.rows):
            self.began = began
        del item.work  # breaks a cycle that would keep the texts until a garbage collection
        self.rows[item.index] = row
        self.left -= 1
        if not self.left and not self.done.done():
            self.ended = ended
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class TextItem:
    """One text; `cost` is its number of characters until it is tokenised, then of tokens.

    `units` is how many tokens it probably has; a long text may be cut, which is not known yet.
    """

    __slots__ = ("background", "cost", "index", "text", "tokens", "units", "work")

    def __init__(self, work: Work, index: int, text: Text) -> None:
        self.work, self.index = work, index
        self.background = work.options.background
        self.text: str = text if isinstance(text, str) else ""
        self.tokens: Any = None if isinstance(text, str) else text
        self.cost = len(text) + 1
        self.units = min(len(text) // 4, MOST_UNITS) + 2
        if self.tokens is not None:
            self.cost = self.units = len(text)
