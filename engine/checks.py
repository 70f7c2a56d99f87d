"""Around the encoder: token ids are checked before it computes, vectors after it.

Compiled code reads a table at the place that an id says, so an id outside of it would crash the
process or give a wrong vector. Sums can overflow where weights are very large.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError, NotFinite, TooLong


def checked_ids(ids: ArrayLike, vocabulary: int, max_tokens: int) -> NDArray[np.int32]:
    """The token ids of one text as contiguous int32, (L,), 1 <= L <= max_tokens.

    `ids` may be any one-dimensional array or list of integers, each 0 <= id < vocabulary. A
    contiguous int32 array is not copied. Raises InputError, and TooLong where there are too many.
    """
    array = _array(ids)
    if array.ndim != 1:
        raise InputError(
            f"token ids have the shape {array.shape}; give those of one text, in one axis."
        )
    if not len(array):
        raise InputError(f"a text of 0 tokens; give 1 to {max_tokens}.")
    if array.dtype.kind not in "iu":
        raise InputError(f"token ids are of type {array.dtype}; give integers.")
    if len(array) > max_tokens:
        raise TooLong(
            f"{len(array)} tokens; this model takes 1 to {max_tokens}. "
            "`tokenize` cuts to the limit."
        )
    if array.min() < 0 or array.max() >= vocabulary:
        place = int(np.argmax((array < 0) | (array >= vocabulary)))
        raise InputError(
            f"token id {array[place]} at place {place} is not in the vocabulary; ids of this model "
            f"are 0 to {vocabulary - 1}. Were they made by another model's tokenizer?"
        )
    return np.ascontiguousarray(array, np.int32)


def _array(ids: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(ids)
    except (ValueError, TypeError, OverflowError) as error:  # lists of unequal length
        raise InputError(f"token ids are no array of integers: {error}") from error


def check_finite(vectors: Iterable[NDArray[np.float32]]) -> None:
    """`vectors` holds an array for each text: rows of (n, D), or (L, D) each.

    Raises NotFinite, which names all texts with NaN or infinity. A vector (D,) is refused too where
    its length overflows: divided by it, all numbers would be 0.
    """
    texts = [text for text, numbers in enumerate(vectors) if not _is_finite(numbers)]
    if texts:
        raise not_finite(texts)


def not_finite(texts: Sequence[int]) -> NotFinite:
    """The error for these texts, by their number in the call."""
    return NotFinite(
        f"the vector of text {texts[0]} has numbers that are not finite (NaN or infinity), or is "
        f"too long for float32 ({len(texts)} such in all): the model's weights are so large that "
        "sums overflow. Check the checkpoint with sentence-transformers in float64; no precision "
        "here can compute it.",
        texts,
    )


def _is_finite(numbers: NDArray[np.float32]) -> bool:
    if numbers.ndim > 1:
        return bool(np.isfinite(numbers).all())
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(np.dot(numbers, numbers)))
