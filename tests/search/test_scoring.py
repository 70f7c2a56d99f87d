"""The nearest rows are those of a float64 computation, whatever the type of the vectors."""

import numpy as np
import pytest

from engine.jobs.writing.stored import Vectors, convert
from engine.search import scoring
from engine.search.scoring import Best, Metric, is_unit, merged, nearest
from tests.search.outputs import DTYPES, unit

QUERIES = unit(5, seed=9).astype(np.float64)


def stored(vectors: np.ndarray, dtype: str) -> tuple[Vectors, np.ndarray]:
    """Vectors of a type, and what they mean in float64."""
    values, scales = convert(vectors, dtype)
    exact = values.astype(np.float64)
    return Vectors(values, scales), exact if scales is None else exact * scales[:, None]


def reference(exact: np.ndarray, query: np.ndarray, k: int, metric: Metric) -> Best:
    scores = (exact * query).sum(axis=1)
    if metric == "cosine":
        scores /= np.linalg.norm(exact, axis=1)
    rows = np.lexsort((np.arange(len(scores)), -scores))[:k]
    return Best(scores[rows], rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", ["unit", "cosine", "dot"])
@pytest.mark.parametrize("k", [1, 10, 3000, 4000])
def test_the_rows_of_float64(
    monkeypatch: pytest.MonkeyPatch, dtype: str, metric: Metric, k: int
) -> None:
    monkeypatch.setattr(scoring, "PIECE_ROWS", 700)
    vectors = unit(3000)
    if metric != "unit":
        vectors = vectors * np.linspace(0.1, 9, 3000, dtype=np.float32)[:, None]
    values, exact = stored(vectors, dtype)
    for query, found in zip(QUERIES, nearest(values, QUERIES, k, metric), strict=True):
        expected = reference(exact, query, k, metric)
        assert np.array_equal(found.rows, expected.rows)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-12)


def test_values_that_are_not_aligned() -> None:
    vectors = unit(300)
    data = b"?" + vectors.tobytes()
    values = np.frombuffer(data, np.float32, offset=1).reshape(vectors.shape)
    assert not values.flags.aligned
    (found,) = nearest(Vectors(values, None), QUERIES[:1], 10, "unit")
    assert np.array_equal(found.rows, reference(vectors.astype("f8"), QUERIES[0], 10, "unit").rows)


def test_equal_vectors_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "PIECE_ROWS", 300)
    vectors = np.repeat(unit(7, 383), 143, axis=0)[np.random.default_rng(1).permutation(1001)]
    query = vectors[500].astype(np.float64)
    (found,) = nearest(Vectors(vectors, None), query[None], 20, "unit")
    same = np.flatnonzero((vectors == vectors[500]).all(axis=1))
    assert found.rows.tolist() == same[:20].tolist() and len(set(found.scores)) == 1


def test_scores_that_float32_cannot_tell_apart() -> None:
    """The rows differ in the last bit of one component; float64 finds the larger one."""
    vectors = np.repeat(unit(1, 384), 4000, axis=0)
    at = int(np.argmax(np.abs(vectors[0])))
    vectors[2345, at] = np.nextafter(vectors[0, at], np.float32(2 * vectors[0, at]))
    (found,) = nearest(Vectors(vectors, None), unit(1, 384).astype("f8"), 2, "unit")
    assert found.rows.tolist() == [2345, 0]


def test_only_allowed_rows() -> None:
    vectors = unit(300)
    allowed = np.arange(300) % 3 == 1
    (found,) = nearest(Vectors(vectors, None), QUERIES[:1], 10, "unit", allowed)
    expected = reference(vectors[allowed].astype("f8"), QUERIES[0], 10, "unit")
    assert np.array_equal(found.rows, np.flatnonzero(allowed)[expected.rows])
    (nothing,) = nearest(Vectors(vectors, None), QUERIES[:1], 10, "unit", np.zeros(300, bool))
    assert len(nothing.rows) == 0


def test_merging_keeps_the_order_of_equal_scores() -> None:
    parts = [Best(np.array([0.5, 0.1]), np.array([7, 2])), Best(np.array([0.5]), np.array([3]))]
    best = merged(parts, 2)
    assert best.rows.tolist() == [3, 7] and best.scores.tolist() == [0.5, 0.5]
    assert len(merged([], 2).rows) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_lengths(dtype: str) -> None:
    assert is_unit(stored(unit(40, 384), dtype)[0])
    assert not is_unit(stored(unit(40, 384) * np.float32(0.9), dtype)[0])


def test_a_zero_vector_has_the_score_zero() -> None:
    vectors = np.concatenate([np.zeros((1, 24), np.float32), -QUERIES[:1].astype(np.float32) * 3])
    (found,) = nearest(Vectors(vectors, None), QUERIES[:1], 2, "cosine")
    assert found.rows.tolist() == [0, 1] and found.scores == pytest.approx([0, -1])
