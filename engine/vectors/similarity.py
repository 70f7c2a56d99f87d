"""Similarity of each row of one array to each row of another.

Definitions as in sentence-transformers: distances are negated, so that larger is more similar.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine import model
from engine.errors import InputError
from engine.literals import Similarity

Array = NDArray[np.float32]


def similarity(name: Similarity, a: ArrayLike, b: ArrayLike) -> Array:
    """Rows of `a` (n, D) or (D,) with rows of `b` (m, D) or (D,): (n, m) float32.

    Raises InputError for anything else.
    """
    a_ND, b_MD = _rows("first", a), _rows("second", b)
    if a_ND.shape[1] != b_MD.shape[1]:
        raise InputError(
            f"similarity of vectors of length {a_ND.shape[1]} with vectors of length "
            f"{b_MD.shape[1]}: both must come from one model."
        )
    return FUNCTIONS[name](a_ND, b_MD)


def _rows(which: str, given: Any) -> Array:
    """A vector or a matrix of numbers, as float32 rows."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise InputError(f"the {which} argument of similarity is ragged: {error}") from error
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise InputError(
            f"the {which} argument of similarity is {type(given).__name__} of shape {array.shape} "
            f"and type {array.dtype}; give vectors (D,) or (n, D) of numbers, as encode returns."
        )
    return np.atleast_2d(array.astype(np.float32))


def cosine(a_ND: Array, b_MD: Array) -> Array:
    product: Array = model.normalize(a_ND) @ model.normalize(b_MD).T
    return product


def dot(a_ND: Array, b_MD: Array) -> Array:
    return a_ND @ b_MD.T


def euclidean(a_ND: Array, b_MD: Array) -> Array:
    """Row by row: |a|² + |b|² - 2ab loses digits if the vectors are close."""
    return _each_row(a_ND, b_MD, lambda off_MD: -np.sqrt(np.square(off_MD).sum(axis=1)))


def manhattan(a_ND: Array, b_MD: Array) -> Array:
    return _each_row(a_ND, b_MD, lambda off_MD: -np.abs(off_MD).sum(axis=1))


def _each_row(a_ND: Array, b_MD: Array, score: Callable[[Array], Array]) -> Array:
    scores = np.empty((len(a_ND), len(b_MD)), np.float32)
    for i, row in enumerate(a_ND):
        scores[i] = score(b_MD - row)
    return scores


FUNCTIONS: dict[Similarity, Callable[[Array, Array], Array]] = {
    "cosine": cosine,
    "dot": dot,
    "euclidean": euclidean,
    "manhattan": manhattan,
}
