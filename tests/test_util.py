"""The same results as sentence_transformers.util, for random vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import engine
from engine import util
from tests.support.toy_embedder import toy_embedder

Array = NDArray[np.float32]
# Sums of 24 products are rounded in other orders: 24 * 2**-24 of the largest sum of them.
BAR = 2e-6


def vectors(n: int, seed: int, near: int = 0) -> Array:
    """Random rows (n, 24); with `near`, they lie around so many centres."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(n, 24)).astype("f4")
    if near:
        rows = random.normal(size=(near, 24))[random.integers(near, size=n)] * 2 + rows * 0.5
    return rows.astype("f4")


def theirs() -> Any:
    from sentence_transformers import util as original

    return original


@pytest.mark.reference
@pytest.mark.parametrize("name", ["cos_sim", "dot_score"])
def test_scores(name: str) -> None:
    a, b = vectors(7, 1), vectors(9, 2)
    for first, second in [(a, b), (a[0], b), (a.tolist(), b[0].tolist()), (a * 0, b)]:
        expected = getattr(theirs(), name)(first, second).numpy()
        found = getattr(util, name)(first, second)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=BAR, rtol=BAR)


def test_integers_are_scored_as_floats() -> None:
    """int8 vectors would overflow in their own type."""
    assert util.dot_score(np.full((1, 4), 100, "i1"), np.full((1, 4), 100, "i1")) == 40_000


@pytest.mark.reference
@pytest.mark.parametrize("score", ["cos_sim", "dot_score"])
@pytest.mark.parametrize("top_k", [1, 10, 400])
@pytest.mark.parametrize("chunks", [(100, 500_000), (4, 37)])
def test_search(score: str, top_k: int, chunks: tuple[int, int]) -> None:
    queries, corpus = vectors(11, 3), vectors(150, 4)
    both = [
        where.semantic_search(queries, corpus, *chunks, top_k, getattr(where, score))
        for where in (util, theirs())
    ]
    for found, expected in zip(*both, strict=True):
        assert [one["corpus_id"] for one in found] == [one["corpus_id"] for one in expected]
        scores = [[one["score"] for one in each] for each in (found, expected)]
        np.testing.assert_allclose(*scores, atol=BAR, rtol=BAR)


def test_search_of_one_vector_and_of_an_empty_corpus() -> None:
    corpus = vectors(5, 5)
    (found,) = util.semantic_search(corpus[3], corpus, top_k=1)
    assert found[0]["corpus_id"] == 3 and found[0]["score"] == pytest.approx(1)
    assert util.semantic_search(corpus[:2], corpus[:0]) == [[], []]
    assert util.semantic_search(corpus[:0], corpus) == []


def test_equal_scores_are_in_the_order_of_the_corpus() -> None:
    (found,) = util.semantic_search([1.0, 0.0], [[1.0, 0.0]] * 6, corpus_chunk_size=2)
    assert [one["corpus_id"] for one in found] == [0, 1, 2, 3, 4, 5]


@pytest.mark.reference
@pytest.mark.parametrize("top_k", [1, 5, 100])
@pytest.mark.parametrize("max_pairs", [7, 500_000])
@pytest.mark.parametrize("chunks", [(5000, 100_000), (13, 29)])
def test_paraphrases(top_k: int, max_pairs: int, chunks: tuple[int, int]) -> None:
    import torch

    rows = vectors(90, 6)
    sizes = {"query_chunk_size": chunks[0], "corpus_chunk_size": chunks[1]}
    options: dict[str, Any] = {**sizes, "top_k": top_k, "max_pairs": max_pairs}
    found = util.paraphrase_mining_embeddings(rows, **options)
    expected = theirs().paraphrase_mining_embeddings(torch.from_numpy(rows), **options)
    assert [pair[1:] for pair in found] == [tuple(pair[1:]) for pair in expected]
    np.testing.assert_allclose(
        [pair[0] for pair in found], [pair[0] for pair in expected], atol=BAR
    )


def test_paraphrases_of_texts() -> None:
    texts = ["red dog", "the small", "red dog"]
    (best, *_) = util.paraphrase_mining(toy_embedder(), texts, prompt="the ")
    assert best == (pytest.approx(1), 0, 2)
    assert util.paraphrase_mining(toy_embedder(), []) == []


@pytest.mark.reference
@pytest.mark.parametrize("threshold", [0.6, 0.9])
@pytest.mark.parametrize("smallest", [2, 10, 60])
@pytest.mark.parametrize("batch", [1024, 17])
def test_communities(threshold: float, smallest: int, batch: int) -> None:
    rows = vectors(300, 7, near=12)
    found = util.community_detection(rows, threshold, smallest, batch)
    assert found == theirs().community_detection(rows, threshold, smallest, batch)
    assert smallest == 60 or len(found) > 3


def test_communities_of_few_vectors() -> None:
    assert util.community_detection(np.empty((0, 3)), min_community_size=1) == []
    assert util.community_detection([1.0, 0.0], min_community_size=1) == [[0]]
    assert util.community_detection([[1.0, 0.0]] * 3) == []


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: util.cos_sim(["a"], ["b"]), "numbers"),
    (lambda: util.cos_sim(np.ones((1, 2, 3)), [1.0]), "shape"),
    (lambda: util.cos_sim([1.0, 2.0], [1.0]), "length 2 and vectors of length 1"),
    (lambda: util.semantic_search([1.0], [1.0], top_k=0), "top_k is 0; it must be a positive"),
    (lambda: util.paraphrase_mining_embeddings([[1.0]], max_pairs=0), "max_pairs is 0"),
    (lambda: util.community_detection([1.0], batch_size=0), "batch_size is 0"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_wrong_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(engine.InputError, match=message):
        call()
