"""What a fused multiply-add of float32 gives, bit by bit, in float64 arithmetic."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.fast.codegen.constants import TARGET

Array = NDArray[Any]


def multiply_add(x: Array, y: Array, z: Array) -> Array:
    """x y + z of float32, as this target computes it: rounded once, or twice if it cannot fuse."""
    return rounded_once(x, y, z) if TARGET.fuses else x * y + z


def rounded_once(x: Array, y: Array, z: Array) -> Array:
    """x y + z of float32, rounded once: the sum in float64 is rounded to odd first.

    The product of two float32 is exact in float64. What its sum with z loses there is known
    exactly, and an odd last bit that stands for it makes the second rounding the only one.
    """
    p, w = x.astype(np.float64) * y, z.astype(np.float64)
    s = p + w
    of_w = s - p
    lost = (p - (s - of_w)) + (w - of_w)
    even = s.view(np.int64) & 1 == 0
    odd = np.nextafter(s, np.copysign(np.inf, lost))
    return np.where((lost != 0) & even, odd, s).astype(np.float32)
