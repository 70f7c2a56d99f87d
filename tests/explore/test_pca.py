"""Vectors on a plane."""

import numpy as np
import pytest

from engine.explore.pca import plane


def test_points_of_a_plane_keep_their_distances() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(size=(9, 2)) * (5, 1)
    axes = np.linalg.qr(rng.normal(size=(30, 2)))[0]
    found, shares = plane(points @ axes.T + rng.normal(size=30))
    for i in range(9):
        expected = np.linalg.norm(points - points[i], axis=1)
        np.testing.assert_allclose(np.linalg.norm(found - found[i], axis=1), expected, atol=1e-9)
    variances = found.var(axis=0)
    assert variances[0] > variances[1]
    np.testing.assert_allclose(shares, variances / variances.sum(), atol=1e-12)


def test_the_same_picture_of_the_same_vectors_in_another_order() -> None:
    vectors = np.random.default_rng(2).normal(size=(6, 10))
    found, again = plane(vectors)[0], plane(vectors[::-1])[0]
    np.testing.assert_allclose(found, again[::-1], atol=1e-9)


@pytest.mark.parametrize("vectors", [np.ones((1, 5)), np.ones((4, 5)), np.ones((2, 1))])
def test_what_has_no_directions_is_one_point(vectors: np.ndarray) -> None:
    points, shares = plane(vectors)
    assert points.tolist() == [[0, 0]] * len(vectors) and shares.tolist() == [0, 0]
