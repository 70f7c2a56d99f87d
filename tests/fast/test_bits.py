"""The same bits: a text's vector depends on the text alone, whoever computes it beside whatever."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import engine
from engine.tokenizer.tokens import Tokens
from tests.fast import fast_process
from tests.support import checkpoints

Vectors = NDArray[np.float32]
Team = Callable[[str, str, int], engine.Embedder]

PRECISIONS = ("float32", "int16", "int8")
THREADS = (1, 2, 3, 4)
each_precision = pytest.mark.parametrize("precision", PRECISIONS)

# (number of tokens, seed of their ids): mostly few tokens, some up to the limit
TEXTS = st.tuples(st.one_of(st.integers(1, 12), st.integers(1, 59)), st.integers(0, 9))
LONG_TEXTS = st.tuples(st.sampled_from([1, 2, 3, 8, 17, 60, 128, 256]), st.integers(0, 1))


@pytest.fixture(scope="module")
def team() -> Iterator[Team]:
    """(checkpoint, precision, threads) -> the embedder, loaded once."""
    loaded: list[engine.Embedder] = []

    @cache
    def load(checkpoint: str, precision: str, threads: int) -> engine.Embedder:
        folder = checkpoints.FOLDERS[checkpoint]()
        loaded.append(engine.load(folder, precision=precision, threads=threads))
        return loaded[-1]

    yield load
    for embedder in loaded:
        embedder.close()


@cache
def tokens(size: int, seed: int, vocabulary: int) -> Tokens:
    draw = np.random.default_rng([size, seed])
    return Tokens(draw.integers(0, vocabulary, size).astype(np.int32))


class Alone:
    """Each text's vector, from a batch of its own and one thread."""

    def __init__(self, embedder: engine.Embedder, vocabulary: int) -> None:
        self.embedder, self.vocabulary = embedder, vocabulary
        self.known: dict[tuple[int, int], Vectors] = {}

    def vector(self, text: tuple[int, int]) -> Vectors:
        if text not in self.known:
            (self.known[text],) = self.embedder.encode_tokens([self.tokens(text)])
        return self.known[text]

    def tokens(self, text: tuple[int, int]) -> Tokens:
        return tokens(*text, self.vocabulary)

    def hold(self, embedder: engine.Embedder, texts: list[tuple[int, int]]) -> None:
        got = embedder.encode_tokens([self.tokens(text) for text in texts])
        assert got.tobytes() == np.stack([self.vector(text) for text in texts]).tobytes()


@pytest.mark.slow
@each_precision
def test_random_batches_on_any_number_of_threads(precision: str, team: Team) -> None:
    alone = Alone(team("tiny", precision, 1), 242)

    @settings(max_examples=250, deadline=None)
    @given(st.lists(TEXTS, min_size=1, max_size=40))
    def hold(texts: list[tuple[int, int]]) -> None:
        for threads in THREADS:
            alone.hold(team("tiny", precision, threads), texts)

    hold()


@pytest.mark.slow
@each_precision
def test_random_batches_of_a_real_model(precision: str, team: Team) -> None:
    alone = Alone(team("minilm", precision, 1), 30522)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(LONG_TEXTS, min_size=1, max_size=6), st.sampled_from(THREADS[1:]))
    def hold(texts: list[tuple[int, int]], threads: int) -> None:
        alone.hold(team("minilm", precision, threads), texts)

    hold()


@each_precision
def test_any_place_and_order(precision: str, team: Team) -> None:
    """All lengths at once, forwards, backwards and shuffled: several batches, full and not."""
    alone = Alone(team("tiny", precision, 1), 242)
    texts = [(size, seed) for size in range(1, 60) for seed in range(2)]
    shuffled = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]
    for order in texts, texts[::-1], shuffled, shuffled * 3:
        alone.hold(team("tiny", precision, 3), order)


@pytest.mark.slow
@each_precision
def test_eight_callers_at_once(precision: str, team: Team) -> None:
    alone = Alone(team("tiny", precision, 1), 242)
    draw = np.random.default_rng(8)
    batches = [
        [(int(draw.integers(1, 60)), int(draw.integers(3))) for _ in range(draw.integers(1, 30))]
        for _ in range(200)
    ]
    for batch in batches:
        for text in batch:
            alone.vector(text)
    with ThreadPoolExecutor(8) as callers:
        for threads in (1, 2, 4):
            shared = team("tiny", precision, threads)
            list(callers.map(lambda batch, shared=shared: alone.hold(shared, batch), batches))


@each_precision
def test_token_embeddings_as_well(precision: str, team: Team) -> None:
    texts = [tokens(size, 0, 242) for size in (1, 2, 9, 40, 59)]
    alone = [team("tiny", precision, 1).token_embeddings([text])[0] for text in texts]
    together = team("tiny", precision, 4).token_embeddings(texts[::-1])[::-1]
    assert [x.tobytes() for x in together] == [x.tobytes() for x in alone]


@each_precision
def test_pooling_is_each_texts_own(precision: str, team: Team) -> None:
    texts, poolings = [tokens(size, 0, 242) for size in (5, 9, 5, 30)], ["cls", "mean"] * 2
    embedder = team("tiny", precision, 2)
    mixed = embedder.encode_tokens(texts, pooling=poolings)
    for row, text, pooling in zip(mixed, texts, poolings, strict=True):
        assert row.tobytes() == embedder.encode_tokens([text], pooling=pooling)[0].tobytes()


DIGEST = """
import hashlib, sys, engine
from tests.support import checkpoints
from tests.support.texts import mixed_texts
for precision in ("float32", "int16", "int8"):
    with engine.load(checkpoints.tiny(), precision=precision, threads=int(sys.argv[1])) as one:
        vectors = one.encode(mixed_texts()[:60], on_truncate="ignore")
        print(hashlib.sha256(vectors.tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_from_run_to_run() -> None:
    first = fast_process.run(DIGEST, 2).split()
    assert first == fast_process.run(DIGEST, 3).split() and len(set(first)) == 3
