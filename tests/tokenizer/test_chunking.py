"""Chunks of a text: whole words, within the limit, and nothing left out."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tokenizer.chunking import _divide, _layout, chunk_spans
from engine.tokenizer.tokens import Tokenizer
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(ROOT / "weights" / "tiny", max_tokens=64)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(0, 11),
)
def test_chunks_are_whole_words_within_the_limit(words: list[int], most: int, overlap: int) -> None:
    """words: the number of tokens of each."""
    overlap = min(overlap, most - 1)
    first_N = np.concatenate([[True] + [False] * (tokens - 1) for tokens in words])
    borders = set(np.flatnonzero(first_N).tolist()) | {len(first_N)}
    chunks = _divide(first_N, most, overlap).tolist()
    assert chunks[0][0] == 0 and chunks[-1][1] == len(first_N)
    for start, stop in chunks:
        assert 0 < stop - start <= most
        assert stop in borders or max(words) > most  # a word is divided only if it must be
    for (start, stop), (again, later) in pairwise(chunks):
        assert start < again <= stop < later  # no token is left out, and each chunk adds some
        assert stop - again <= overlap


def test_an_example() -> None:
    first_N = np.array([1, 0, 1, 1, 0, 0, 1, 1], bool)
    assert _divide(first_N, 3, 0).tolist() == [[0, 3], [3, 6], [6, 8]]
    assert _divide(first_N, 4, 1).tolist() == [[0, 3], [2, 6], [6, 8]]
    assert _divide(first_N, 2, 0).tolist() == [[0, 2], [2, 3], [3, 5], [5, 7], [7, 8]]
    assert _divide(first_N, 100, 50).tolist() == [[0, 8]]


@given(st.text(st.sampled_from("ab é中,.\n\t\u0301\ud800🙂XYZ"), max_size=60), st.integers(1, 9))
def test_the_spans_hold_the_tokens(tokenizer: Tokenizer, text: str, most: int) -> None:
    spans = chunk_spans(tokenizer, text, most, 0)
    (whole,) = tokenizer.tokenize([text], special=False, truncate=False)
    parts = [text[start:stop] for start, stop in spans.tolist()]
    if len(whole) <= most:
        assert len(parts) == 1
    tokens = tokenizer.tokenize(parts, special=False, truncate=False)
    borders = np.append(np.flatnonzero(_layout(tokenizer, text)[1]), len(whole))
    if np.diff(borders).max(initial=0) <= most:  # no word is divided
        assert np.concatenate([one.ids for one in tokens]).tolist() == whole.ids.tolist()


@pytest.mark.parametrize("text", ["", "  ", "\0"])
def test_a_text_without_tokens_is_one_chunk(tokenizer: Tokenizer, text: str) -> None:
    assert chunk_spans(tokenizer, text, 5, 0).tolist() == [[0, len(text)]]


def test_a_text_of_many_pieces(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text = "one, two. " * 20_000
    spans = chunk_spans(tokenizer, text, 60, 0)
    starts, stops = spans[:, 0], spans[:, 1]
    assert starts[0] == 0 and stops[-1] == len(text) - 1
    assert set((starts[1:] - stops[:-1]).tolist()) <= {0, 1}  # only spaces lie between
