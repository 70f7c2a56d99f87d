"""Rows of float32 -> rows of integers, for the quantised products, and their sums -> float32.
`weights.quantize` says why they are quantised so.

numba code as in `engine.fast.kernels`: addresses and sizes in, results written to an address. A row
with a number that is not finite has integers without meaning, and NaN or infinity as its scale.
"""

from numba import float32

from engine.fast import kernels
from engine.fast.codegen.constants import LANES, PRECISION, TARGET
from engine.fast.codegen.shuffles import hadamard_lanes
from engine.fast.codegen.simd import (
    absolute,
    bits,
    fma,
    largest,
    load_f,
    load_float,
    load_i,
    select,
    smallest,
    splat,
    sqrt,
    store,
    store_byte,
    store_byte_of_pair,
    store_short,
    to_float,
    total,
)
from engine.fast.kernels import MAGIC, jit, row_of

MAGIC_BITS = 0x4B400000  # the bits of MAGIC
LEVELS, OFFSET = TARGET.levels, TARGET.offset
PAIRS_ROWS = TARGET.pairs_rows
store_bytes = store_byte_of_pair if PAIRS_ROWS else store_byte


@jit
def rotate(row, signs, out, width, block):
    """Numbers times `signs`, and each `block` of them times the Hadamard matrix of that order.

    It spreads an outlier over the block, and 8 bits then serve all numbers alike. Blocks smaller
    than a vector only get their signs. Fast Walsh-Hadamard transform: first within each vector,
    then between vectors 1, 2, 4, ... apart.
    """
    # The first log2(LANES) rounds of butterflies are between lanes of one vector.
    for i in range(0, width, LANES):
        x = load_f(row, i) * load_f(signs, i)
        store(out, i, hadamard_lanes(x) if block >= LANES else x)
    # The rest are between whole vectors, `step` apart. The result is not divided by √block: the
    # weights are, twice, when they are prepared.
    step = LANES
    # Two rounds in one pass over memory: the same sums in the same order, half the loads.
    while 4 * step <= block:  # two rounds of sums and differences at once
        for first in range(0, width, 4 * step):
            for i in range(first, first + step, LANES):
                w, x = load_f(out, i), load_f(out, i + step)
                y, z = load_f(out, i + 2 * step), load_f(out, i + 3 * step)
                store(out, i, (w + x) + (y + z))
                store(out, i + step, (w - x) + (y - z))
                store(out, i + 2 * step, (w + x) - (y + z))
                store(out, i + 3 * step, (w - x) - (y - z))
        step *= 4
    if step < block:
        for first in range(0, width, 2 * step):
            for i in range(first, first + step, LANES):
                x, y = load_f(out, i), load_f(out, i + step)
                store(out, i, x + y)
                store(out, i + step, x - y)


@jit
def quantize_int16(row, out, width, norm_limit):
    """x ≈ scale * integer, with the integers' norm below `norm_limit`; gives the scale.

    Together with the norms of the weights' columns this bounds every sum of products
    (Cauchy-Schwarz), see `engine.fast.weights.quantize`.
    """
    # 1e-30: a row of zeros gets a scale too
    squares, peak = splat(0.0), splat(1e-30)
    for i in range(0, width, LANES):
        x = load_f(row, i)
        squares = fma(x, x, squares)
        size = absolute(x)
        peak = select(size > peak, size, peak)
    norm = sqrt(total(squares)) + 1e-20  # never too short, even where squares underflow
    nothing = norm - norm  # NaN, where the norm is infinite or NaN
    # The norm bounds every sum of products; 32767 is what int16 holds. The smaller scale wins.
    inverse = float32(min(norm_limit / norm, 32767.0 / largest(peak)) + nothing)
    for i in range(0, width, LANES):
        # + 1.5 * 2²³ rounds to an integer and leaves it in the low bits (see `kernels.exp`)
        shifted = fma(load_f(row, i), splat(inverse), splat(MAGIC))
        store_short(out, i, bits(shifted) - splat(MAGIC_BITS))
    return float32(1.0) / inverse


@jit
def quantize_int8(row, out, width, parameters):
    """x ≈ low + scale * integer, 0 <= integer <= TARGET.levels; `parameters` gets scale and low."""
    # A range of its own for each row: GELU's outputs begin at -0.17, not at -high
    low, high = load_f(row, 0), load_f(row, 0)
    zeros = low * splat(0.0)
    for i in range(LANES, width, LANES):
        x = load_f(row, i)
        low = select(x > low, low, x)
        high = select(x > high, x, high)
        zeros = fma(x, splat(0.0), zeros)  # NaN, once a number is not finite
    # 1e-30 again. 0 * x is NaN for infinity and NaN, else 0: `zeros` poisons the scale.
    least = smallest(low)
    scale = (largest(high) - least) / float32(LEVELS) + (float32(1e-30) + total(zeros))
    inverse = float32(1.0) / scale
    for i in range(0, width, LANES):
        shifted = fma(load_f(row, i) - splat(least), splat(inverse), splat(MAGIC))
        # products see integer - OFFSET
        store_bytes(out, i, bits(shifted) - splat(MAGIC_BITS + OFFSET))
    store(parameters, 0, scale)
    store(parameters, 1, least)


@jit
def gelu8(x):
    """`kernels.gelu` for numbers that 8 bits are to hold: error below 1e-4 max(1, |x| / 25).

    x Φ(x) with Φ(t) - 1/2 as t times a polynomial in t², t = x within ±4.125, fitted here for the
    least error of x Φ(x), 8e-5. Beyond, Φ is 0 or 1, within 4e-6. Half the time of the other form,
    which divides.
    """
    # With NaN, comparisons are false, and t stays NaN.
    t = select(x > splat(4.125), splat(4.125), x)
    t = select(splat(-4.125) > t, splat(-4.125), t)
    square = t * t
    # Horner's rule, least power last
    p = splat(-8.870690293427685e-10)
    p = fma(p, square, splat(7.847300054208972e-08))
    p = fma(p, square, splat(-3.013629338965984e-06))
    p = fma(p, square, splat(6.656680488958955e-05))
    p = fma(p, square, splat(-0.0009483004687353969))
    p = fma(p, square, splat(0.009289135225117207))
    p = fma(p, square, splat(-0.06551175564527512))
    p = fma(p, square, splat(0.39845597743988037))
    return x * fma(t, p, splat(0.5))


@jit
def int16_row(job, me, row, signs, quantizer, r):
    """The numbers at `row` -> row r of `integers` and of `row_scales`."""
    # no rotation: 16 bits hold outliers and the rest
    out = row_of(job.integers, r)
    scale = quantize_int16(row, out, quantizer.width, quantizer.norm_limit)
    store(job.row_scales + r * 8, 0, scale)


@jit
def int8_row(job, me, row, signs, quantizer, r):
    """The same in 8 bits, times `signs` and rotated."""
    out, parameters = row_of(job.integers, r), job.row_scales + r * 8
    if PAIRS_ROWS:  # eight bytes of the even row, eight of the odd one
        out = row_of(job.integers, r - r % 2) + r % 2 * 8
    # rotated into scratch memory, so that the float32 row stays: the residual needs it
    rotate(row, signs, me.scratch, quantizer.width, quantizer.block)
    quantize_int8(me.scratch, out, quantizer.width, parameters)


@jit
def float32_numbers(sums, i, parameters, bias, scales, offsets, missing, column):
    """A vector of a tile's sums from number i on, and the bias; they are float32 already."""
    return load_f(sums, i) + load_f(bias, column)


@jit
def int16_numbers(sums, i, parameters, bias, scales, offsets, missing, column):
    """Σ (scale a) (column's scale w) + bias. `parameters` holds the row's scale."""
    y = to_float(load_i(sums, i)) * splat(load_float(parameters, 0))
    return fma(y, load_f(scales, column), load_f(bias, column))


@jit
def int8_numbers(sums, i, parameters, bias, scales, offsets, missing, column):
    """Σ (low + scale a) (column's scale w) + bias: the sums of a w, and what is known before.

    `parameters` holds the scale and low of the row.
    """
    known = fma(splat(load_float(parameters, 1)), load_f(offsets, column), load_f(bias, column))
    sum_ = load_i(sums, i)
    if OFFSET:
        # What the products missed; as integers, so that the bits are those of other CPUs.
        sum_ = sum_ + load_i(missing, column)
    y = to_float(sum_) * splat(load_float(parameters, 0))
    return fma(y, load_f(scales, column), known)


# How the rows of each precision become integers, if they do, and sums become numbers; its GELU.
quantize_row, to_numbers, gelu = {
    "float32": (None, float32_numbers, kernels.gelu),
    "int16": (int16_row, int16_numbers, kernels.gelu),
    "int8": (int8_row, int8_numbers, gelu8),
}[PRECISION]
QUANTIZES = quantize_row is not None
