"""Principal components: vectors of many numbers as points on a plane."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def plane(vectors: ArrayLike) -> tuple[Floats, Floats]:
    """(points_N2, shares_2) of vectors (n, D), n >= 1.

    The axes are the two directions in which the vectors differ most; a share is the part of all
    variance along an axis. The sign of an axis is free: its largest component is made positive, so
    that the same vectors give the same picture. What has no second direction gets zeros.
    """
    x_ND = np.asarray(vectors, np.float64)
    centred_ND = x_ND - x_ND.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centred_ND, full_matrices=False)
    axes_2D = np.zeros((2, x_ND.shape[1]))
    axes_2D[: min(2, len(axes))] = axes[:2]
    largest = np.abs(axes_2D).argmax(axis=1)
    axes_2D *= np.where(axes_2D[[0, 1], largest] < 0, -1, 1)[:, None]
    shares = np.zeros(2)
    shares[: min(2, len(lengths))] = lengths[:2] ** 2 / max(float((lengths**2).sum()), 1e-30)
    return centred_ND @ axes_2D.T, shares
