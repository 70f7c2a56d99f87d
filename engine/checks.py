"""Checks before and after the encoder: of token ids and of vectors.

Compiled code uses ids as indices into a table, so an id outside the vocabulary would crash the
process or give a wrong vector. If weights are very large, sums can overflow.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError, NotFinite, TooLong


def checked_ids(ids: ArrayLike, vocabulary: int, max_tokens: int) -> NDArray[np.int32]:
    """The token ids of one text as contiguous int32, (L,), 1 <= L <= max_tokens.

    `ids` may be any one-dimensional array or list of integers, each 0 <= id < vocabulary. A
    contiguous int32 array is not copied. Raises InputError, and TooLong for too many ids.
    """
    array = _array(ids)
    if array.ndim != 1:
        raise InputError(
            f"token ids have shape {array.shape}; give one dimension, the ids of one text."
        )
    if not len(array):
        raise InputError(f"a text has 0 tokens; give 1 to {max_tokens}.")
    if array.dtype.kind not in "iu":
        raise InputError(f"token ids have dtype {array.dtype}; give integers.")
    if len(array) > max_tokens:
        raise TooLong(
            f"a text has {len(array)} tokens; this model takes 1 to {max_tokens}. "
            "Use `tokenize`, which truncates to the limit."
        )
    if array.min() < 0 or array.max() >= vocabulary:
        index = int(np.argmax((array < 0) | (array >= vocabulary)))
        raise InputError(
            f"token id {array[index]} at index {index} is not in the vocabulary; ids of this model "
            f"are 0 to {vocabulary - 1}. Were they made by another model's tokenizer?"
        )
    return np.ascontiguousarray(array, np.int32)


def _array(ids: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(ids)
    except (ValueError, TypeError, OverflowError) as error:  # lists of unequal length
        raise InputError(f"token ids are not an array of integers: {error}") from error


def check_finite(vectors: NDArray[np.float32] | Sequence[NDArray[np.float32]]) -> None:
    """`vectors` has one array per text: the rows of (n, D), or a list of (L, D).

    Raises NotFinite, which names all texts with NaN or infinity. A vector (D,) whose length
    overflows float32 is refused too: normalised, it would be all zeros.
    """
    if isinstance(vectors, np.ndarray):
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(np.square(vectors).sum(axis=-1))  # as `model.normalize`
    else:
        finite = np.array([np.isfinite(hidden_LD).all() for hidden_LD in vectors], bool)
    texts = np.flatnonzero(~finite).tolist()
    if texts:
        raise not_finite(texts)


def not_finite(texts: Sequence[int]) -> NotFinite:
    """The error for these texts, given by their index in the call."""
    return NotFinite(
        f"the vector of text {texts[0]} contains NaN or infinity, or its length overflows float32 "
        f"({len(texts)} such texts in total): the model's weights are so large that sums overflow. "
        "No precision of this engine can compute it. Check the checkpoint with "
        "sentence-transformers in float64.",
        texts,
    )
