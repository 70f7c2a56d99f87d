"""Long texts in chunks: a vector for each part of a text that the model can read at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.errors import InputError
from engine.tokenizer.chunking import chunk_spans
from engine.tokenizer.tokens import Tokenizer

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Chunks:
    """The chunks of one text, in its order.

    vectors: (n, D), each exactly what `encode` gives for that part of the text.
    spans: (n, 2) int64, where it begins and ends in the text, in characters: text[start:stop].
    tokens: (n,) int64, how many tokens it has, special ones and the prompt's included.
    """

    vectors: Array
    spans: NDArray[np.int64]
    tokens: NDArray[np.int64]

    @classmethod
    def of_texts(
        cls, spans: Sequence[NDArray[np.int64]], vectors: Array, tokens: Sequence[int]
    ) -> list[Self]:
        """The chunks of each text: its spans, and its part of the vectors and token counts of all
        chunks, which lie one text after another."""
        ends = np.cumsum([0, *map(len, spans)])[1:-1]
        parts = np.split(vectors, ends), np.split(np.array(tokens, np.int64), ends)
        return [cls(*each) for each in zip(parts[0], spans, parts[1], strict=True)] if spans else []

    def __len__(self) -> int:
        return len(self.vectors)

    def mean(self, *, normalize: bool = True) -> Array:
        """One vector for the whole text, (D,): the mean of the chunks, weighted by their tokens.

        So a short last chunk counts as little as it says. normalize: scale to unit length.
        """
        weights_N = (self.tokens / self.tokens.sum()).astype(np.float32)
        mean_1D = (weights_N[:, None] * self.vectors).sum(axis=0, keepdims=True)
        if normalize:
            mean_1D = model.normalize(mean_1D)
        mean_D: Array = mean_1D[0]
        return mean_D


def spans_within(
    tokenizer: Tokenizer, text: str, size: int | None, overlap: float, prompt: str
) -> NDArray[np.int64]:
    """The chunks text[start:stop] of a text, (n, 2), of at most `size` tokens each, with the prompt
    and the special tokens. size: None means the limit. InputError if nothing can be so small, or
    for an overlap that cannot be."""
    size = tokenizer.max_tokens if size is None else size
    room = size - tokenizer.count([prompt])[0]
    if room < 1:
        raise InputError(
            f"chunk_tokens is {size}, and {size - room} are those of the prompt and the special "
            f"ones; it must be from {size - room + 1} to {tokenizer.max_tokens}."
        )
    if isinstance(overlap, bool) or not isinstance(overlap, int | float) or not 0 <= overlap <= 0.5:
        raise InputError(f"overlap is {overlap!r}; it must be a number from 0 to 0.5.")
    return _within(tokenizer, text, room, int(overlap * room))


def _within(tokenizer: Tokenizer, text: str, room: int, overlap: int) -> NDArray[np.int64]:
    """The same, for `room` tokens of text. A part of a word may have more tokens by itself than in
    the word: it is divided again."""
    spans_n2 = chunk_spans(tokenizer, text, room, overlap)
    parts = [text[start:stop] for start, stop in spans_n2.tolist()]
    excess = np.array(tokenizer.count(parts, special=False)) - room
    if room == 1 or excess.max() <= 0:
        return spans_n2
    found = [
        start + _within(tokenizer, part, max(1, room - more), 0) if more > 0 else [[start, stop]]
        for (start, stop), part, more in zip(spans_n2.tolist(), parts, excess.tolist(), strict=True)
    ]
    return np.concatenate(found)
