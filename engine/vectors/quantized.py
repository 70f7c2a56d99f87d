"""Vectors in fewer bytes: 8-bit integers with a scale, or one bit a component.

The names are those of sentence-transformers and of several providers' APIs. The values of a vector
depend on that vector alone, so no calibration is needed and batches change nothing.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import InputError
from engine.literals import VECTOR_TYPES, VectorType

INT8_MAX = 127
OFFSET = 128  # from a signed byte to an unsigned one


class Quantized(NamedTuple):
    """`values`: (n, D), or for bits (n, B), B = D / 8 rounded up. `scales`: float32 (n,), or None
    for bits."""

    values: NDArray[Any]
    scales: NDArray[np.float32] | None


def quantize(vectors: ArrayLike, dtype: VectorType) -> Quantized:
    """Vectors (n, D) as `dtype`; for one vector (D,) the result has no first axis.

    "int8": component = scale * value, with scale = the largest |component| of the vector / 127.
    Rounded to nearest: the error of a component is at most half a scale. A cosine needs no scale.
    "uint8": the same plus 128: component = scale * (value - 128).
    "ubinary": a bit for each component, 1 if it is above 0; eight in a byte, the first one the
    highest (numpy.unpackbits restores them); the last byte is filled with zeros. "binary": those
    bytes less 128, as int8. Raises InputError.
    """
    if dtype not in VECTOR_TYPES:
        raise InputError(f"dtype is {dtype!r}; it must be one of {', '.join(VECTOR_TYPES)}.")
    x_ND = np.asarray(vectors)
    if x_ND.dtype.kind != "f" or x_ND.ndim not in (1, 2):
        raise InputError(
            f"vectors have shape {x_ND.shape} and type {x_ND.dtype}; give (D,) or (n, D) of floats."
        )
    if dtype in ("int8", "uint8"):
        return _bytes(x_ND, dtype)
    bits = np.packbits(x_ND > 0, axis=-1)
    return Quantized(bits if dtype == "ubinary" else (bits ^ OFFSET).view(np.int8), None)


def _bytes(x_ND: NDArray[Any], dtype: str) -> Quantized:
    scales = np.abs(x_ND).max(axis=-1, initial=0).astype(np.float32) / np.float32(INT8_MAX)
    safe = np.where(scales > 0, scales, np.float32(1))
    values = np.rint(x_ND / safe[..., None]).astype(np.int8)
    return Quantized(values if dtype == "int8" else values.view(np.uint8) ^ OFFSET, scales)
