"""Weights -> integers: slow, done once, when weights are prepared.

Every output channel (a row of W) has a scale of its own, and no sum of products can overflow,
whatever the activations are. There is nothing to calibrate.

int16. A sum over K is at most |a| |w|, the lengths of the two integer vectors (Cauchy-Schwarz).
Rows of W are scaled to a length of at most LENGTH and the kernel scales each token to at most the
same: LENGTH² < 2³¹. Long scales go to short vectors, so outliers keep all 16 bits.

int8. W and the activations are first multiplied by the same orthogonal matrix along K, block by
block; the product stays the same, but outliers are spread over their block, and 8 bits serve all
numbers alike. The matrix is Hadamard's, after a change of signs: by itself it gathers what all
numbers of a block have in common, as those behind GELU do, in one place, an outlier again (without
the signs 1 - cosine is 9 % more on MiniLM). Sums are exact in int32: 255 * 127 * K < 2³¹ up to
K = 66,000. Where the CPU sums pairs in 16 bits first ("pairs" of `dot_products`), activations
go up to 200, and scales are chosen so that two weights of one sign that meet in such a sum are not
above 2¹⁵ / 200 together. 200 is a balance: with 255 the weights' scales must be coarser, and the
vectors are farther from float32 (1 - cosine 6.2e-4 on MiniLM, 3 % above int8's bar).

A layer norm may make a few channels far larger than all others (in BERT-base some are known), so
large that they fill their whole block. Those channels are divided by a power of two before they are
rotated, and the weights that read them are multiplied by it: `norm_factors`.

Both hold for rows of up to WIDEST numbers: in int16 because a token's length is summed in float32,
of which the rounding grows with K (3e-5 of it for 16,384 numbers in vectors of 4).
"""

import math

import numpy as np
from numpy.typing import NDArray

from engine.fast.codegen.target import LANES, PAIR_LEVELS

Array = NDArray[np.float32]

LENGTH = 46340  # ⌊√(2³¹)⌋
LARGEST_BLOCK = 512
OUTLIER = 3  # times the median scale of a layer norm
WIDEST = 32768  # numbers of a row
PAIR_LIMIT = (2**15 - 1) // PAIR_LEVELS


def length_limit(K: int) -> float:
    """The length before rounding to integers, which may add half a unit in each of K places."""
    return LENGTH - math.sqrt(K) / 2 - 1


def int16(w_OI: Array) -> tuple[NDArray[np.int16], Array]:
    """Integers and the scale of each row: w ≈ scale * integer."""
    # float64: scales decide every number of the row, and this runs once.
    lengths = np.sqrt(np.square(w_OI, dtype=np.float64).sum(axis=1))
    largest = np.abs(w_OI).max(axis=1).astype(np.float64)  # exact for the smallest numbers too
    scales = _usable(np.maximum(lengths / length_limit(w_OI.shape[1]), largest / 32767))
    return np.rint(w_OI / scales[:, None]).astype(np.int16), scales.astype(np.float32)


def block_size(K: int) -> int:
    """The order of the rotation: the largest power of two that divides K, or 1 if below LANES."""
    # K & -K is the largest power of two that divides K
    block = min(K & -K, LARGEST_BLOCK)
    return block if block >= LANES else 1


def signs(K: int) -> Array:
    """The sequence of Golay, Rudin and Shapiro: -1 where the digits of the place, in base two, have
    1 1 an odd number of times.

    Of order n, it agrees with no row of Hadamard's matrix by more than √(2n).
    """
    # Bit by bit: a place has 1 1 where it and its half both have a 1. Then parity, by folding.
    both = np.arange(K) & np.arange(K) >> 1
    for shift in (16, 8, 4, 2, 1):
        both ^= both >> shift
    return (1 - 2 * (both & 1)).astype(np.float32)


def norm_factors(scale: Array) -> Array:
    """By what the channels of a layer norm with this `scale` are divided before the rotation.

    Powers of two, so that nothing is rounded: about scale / median for outliers, else 1.
    """
    # The scale, not the rows, tells which channels are large: nothing has to be calibrated.
    size = np.abs(scale)
    median = np.median(size)
    factors = np.ones_like(scale)
    outliers = size > OUTLIER * median
    if median > 0 and outliers.any():
        factors[outliers] = np.exp2(np.rint(np.log2(size[outliers] / median)))
    return factors


def rotate(w_OI: Array, block: int) -> Array:
    """Columns times `signs`, each `block` times Hadamard's matrix, divided by its square, `block`.

    The kernel does the same to activations but for the division, so that products stay the same.
    Divided first, the largest sums do not overflow; it is exact, because a block is a power of two.
    """
    # The fast Walsh-Hadamard transform: log2(block) rounds of sums and differences.
    # Columns become rows, so that numpy adds long runs of memory.
    x_IO = np.ascontiguousarray((w_OI * (signs(w_OI.shape[1]) / np.float32(block))).T)
    sums_IO, step = np.empty_like(x_IO), 1
    while step < block:
        # Neighbours at distance `step`, all at once, by an axis of length 2.
        x, sums = (one.reshape(-1, 2, step * len(w_OI)) for one in (x_IO, sums_IO))
        np.add(x[:, 0], x[:, 1], out=sums[:, 0])
        np.subtract(x[:, 0], x[:, 1], out=sums[:, 1])
        x_IO, sums_IO, step = sums_IO, x_IO, 2 * step
    return x_IO.T


def int8(w_OI: Array, pairs: bool) -> tuple[NDArray[np.int8], Array]:
    """Integers and the scale of each row: w ≈ scale * integer."""
    # One scale a row: its largest number becomes 127. -128 is not used: it has no opposite.
    scales = _usable(np.abs(w_OI).max(axis=1).astype(np.float64) / 127)
    integers = np.rint(w_OI / scales[:, None])
    # Rounding can bring a pair just over the limit again, so until none is.
    while pairs and (over := _fullest_pair(integers) / PAIR_LIMIT).max() > 1:
        # a coarser scale where a sum could overflow
        scales = _usable(scales * np.where(over > 1, over * 1.001, 1))
        integers = np.rint(w_OI / scales[:, None])
    return integers.astype(np.int8), scales.astype(np.float32)


def _usable(scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same, but 1 for a row of zeros; and below float32's normal numbers, where float32 is
    coarse, rounded up to the next one, so that integers are made with the scale that is kept."""
    least = float(np.finfo(np.float32).smallest_subnormal)
    coarse = np.ceil(scales / least) * least
    return np.where(scales == 0, 1, np.where(scales < np.finfo(np.float32).tiny, coarse, scales))


def _fullest_pair(integers: NDArray[np.floating]) -> NDArray[np.floating]:
    """For each row the largest sum of one sign of two neighbours, which meet in a 16-bit sum."""
    # Activations are not negative, so only weights of one sign add up.
    pairs = integers.reshape(len(integers), -1, 2)
    positive, negative = np.maximum(pairs, 0).sum(axis=2), np.maximum(-pairs, 0).sum(axis=2)
    return np.maximum(positive, negative).max(axis=1)
