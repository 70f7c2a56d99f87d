"""Where a long text is divided into chunks: between words, as far as words allow."""

import numpy as np
from numpy.typing import NDArray

from engine.tokenizer.tokens import Tokenizer

Spans = NDArray[np.int64]


def chunk_spans(tokenizer: Tokenizer, text: str, most: int, overlap: int) -> Spans:
    """The chunks of a text, as (start, stop) in characters, (n, 2), n >= 1.

    A chunk has at most `most` tokens, without special ones. It ends with a word, unless a word
    alone is longer. The next one begins with the first word of the last `overlap` tokens of the one
    before, 0 <= overlap < most. A text without tokens is one chunk.
    """
    places_N2, first_N = _layout(tokenizer, text)
    if not len(first_N):
        return np.array([[0, len(text)]], np.int64)
    chunks_n2 = _divide(first_N, most, overlap)
    return np.stack([places_N2[chunks_n2[:, 0], 0], places_N2[chunks_n2[:, 1] - 1, 1]], axis=1)


def _layout(tokenizer: Tokenizer, text: str) -> tuple[Spans, NDArray[np.bool_]]:
    """For each of the N tokens its place in the text, (N, 2), and whether it begins a word."""
    places, firsts = [np.empty((0, 2), np.int64)], [np.empty(0, np.bool_)]
    for start, encoding in tokenizer.with_offsets(text):
        words = np.array(encoding.word_ids, np.int64)
        if len(words):
            places.append(start + np.array(encoding.offsets, np.int64))
            firsts.append(np.append(True, words[1:] != words[:-1]))
    return np.concatenate(places), np.concatenate(firsts)


def _divide(first_N: NDArray[np.bool_], most: int, overlap: int) -> Spans:
    """Chunks as (start, stop) of their tokens, (n, 2)."""
    size = len(first_N)
    borders = np.append(np.flatnonzero(first_N), size)  # where words begin, and the end

    def end(start: int) -> int:
        stop = min(start + most, size)
        border = int(borders[np.searchsorted(borders, stop, side="right") - 1])
        return border if border > start else stop

    chunks = [(0, end(0))]
    while (stop := chunks[-1][1]) < size:
        low, high = np.searchsorted(borders, (stop - overlap, stop))
        starts = (int(border) for border in borders[low:high] if border > chunks[-1][0])
        start = next((start for start in starts if end(start) > stop), stop)
        chunks.append((start, end(start)))
    return np.array(chunks, np.int64)
