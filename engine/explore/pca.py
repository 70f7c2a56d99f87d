"""Principal components: vectors of many numbers as points on a plane."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def plane(vectors: ArrayLike) -> tuple[Floats, Floats]:
    """(points_N2, shares_2) of vectors (n, D), n >= 1.

    The axes are the two directions in which the vectors differ most; a share is the part of all
    variance along an axis. From the dot products of all pairs, (n, n), whose eigenvectors are the
    points: for few vectors that is less work than an SVD. The sign of an axis is free: the point
    farthest along it gets a positive number, so that the same vectors give the same picture.
    """
    x_ND = np.asarray(vectors, np.float64)
    centred_ND = x_ND - x_ND.mean(axis=0)
    variances, axes_NN = np.linalg.eigh(centred_ND @ centred_ND.T)  # smallest first
    points_N2, shares = np.zeros((len(x_ND), 2)), np.zeros(2)
    total = max(float(variances.sum()), 1e-30)
    for axis in range(min(2, len(x_ND))):
        variance, points_N = max(float(variances[-1 - axis]), 0.0), axes_NN[:, -1 - axis]
        sign = np.sign(points_N[np.abs(points_N).argmax()])
        points_N2[:, axis] = sign * np.sqrt(variance) * points_N
        shares[axis] = variance / total
    return points_N2, shares
