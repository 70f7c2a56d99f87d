"""Attention of one head with its products in integers, for the precisions whose maps are integers.

The steps of `kernels.attention_head`; what is added is where numbers become integers and back:

    queries, keys    see `integer_scores`
    values           v ≈ scale * integer, |integer| <= VALUE_LEVELS, a scale for each column
    weights          e^(score - peak) ≈ integer / c, with a factor c for each row

Softmax needs no division: a row's sums of products are divided by the sum of its integers, so that
weights still sum to 1. c is as large as 16 bits allow, but the integers of a row sum to WEIGHTS at
most. With L of them rounded, every sum stays below (WEIGHTS + L / 2) * VALUE_LEVELS < 2³¹, for up
to WIDEST tokens. On MiniLM 1 - cosine is 2e-8 by this alone, and 4e-4 with weights in 8 bits: many
small ones would round to 0 beside a large one.
"""

import numpy as np
from numba import float32

from engine.fast import job
from engine.fast.codegen.constants import LANES, TARGET
from engine.fast.codegen.micro_kernel import tile
from engine.fast.codegen.simd import (
    absolute,
    bits,
    fma,
    from_bits,
    lane,
    largest,
    load_f,
    load_float,
    load_i,
    select,
    splat,
    sqrt,
    store,
    store_short,
    to_float,
    total,
)
from engine.fast.integer_scores import (
    NUMBERS,
    PANEL,
    multiply_keys,
    pack_keys,
    quantize_rows,
    score_columns,
)
from engine.fast.kernels import LOG2_E, MAGIC, copy_columns, jit, padded, parts

ROWS = TARGET.tiles["attention_int16"][0]
# 31 bits are shared out: 13 for a value, 18 for the weights of a row together.
VALUE_LEVELS = 2**13 - 1
WEIGHTS = 240_000  # below 2¹⁸, so that roundings of WIDEST weights have room too
MAGIC_BITS = int(np.float32(MAGIC).view(np.int32))
multiply_values = tile("attention_int16")
head_scratch = jit(job.head_scratch)


@jit
def value_scale(values, stride, length, column):
    """The scales of LANES columns."""
    # By column, because the sum of products runs along tokens: a scale for each token could not be
    # taken out of it.
    # 1e-30: a column of zeros has a scale too. 0 * x is NaN for a number that is not finite.
    peak, zeros = splat(1e-30), splat(0.0)
    for token in range(length):
        x = load_f(values, token * stride + column)
        size = absolute(x)
        peak = select(size > peak, size, peak)
        zeros = fma(x, splat(0.0), zeros)
    return peak * splat(1.0 / VALUE_LEVELS) + zeros


@jit
def pack_values(values, stride, length, K, out, scales):
    """Rows of K numbers -> panels of PANEL columns, [two tokens][column], a scale for each column.

    A token that is missing of the last two is a repetition: its weight is 0.
    """
    steps = parts(length, 2)
    for column in range(0, padded(K, PANEL), LANES):
        scale = value_scale(values, stride, length, column)
        store(scales, column, scale)
        # one division for the column; products of it round to at most VALUE_LEVELS
        inverse = splat(1.0) / scale
        panel = out + ((column // PANEL) * steps * PANEL + column % PANEL) * 4
        for step in range(steps):
            even = load_f(values, 2 * step * stride + column)
            odd = load_f(values, min(2 * step + 1, length - 1) * stride + column)
            # Two tokens of a column are one word, the even one in its low half.
            low = bits(fma(even, inverse, splat(MAGIC)))
            high = bits(fma(odd, inverse, splat(MAGIC)))
            store(panel, step * PANEL, (high << splat(16)) | (low & splat(0xFFFF)))


@jit
def exp2(x, unit):
    """2^(x * unit) for x <= 0, 1 for 0; relative error below 3e-6, a tenth of the last of 15 bits.

    As `kernels.exp`, with a polynomial of fewer terms (least maximum). No result is below 2^-100.
    """
    least = splat(-100.0) / unit
    x = select(least > x, least, x)
    # x * unit = n + r, |r| <= 1/2: fused, so r is rounded once
    shifted = fma(x, unit, splat(MAGIC))
    r = fma(x, unit, splat(MAGIC) - shifted)
    p = splat(0.009581047110259533)
    p = fma(p, r, splat(0.05590597167611122))
    p = fma(p, r, splat(0.24024145305156708))
    p = fma(p, r, splat(0.6931243538856506))
    # exactly 1 for r = 0: no weight may round to more than c
    p = fma(p, r, splat(1.0))
    # n is added to the exponent's bits
    return from_bits(bits(p) + (bits(shifted) << splat(23)))


@jit
def softmax(row, length, width, unit):
    """Sums q k of a row -> its weights times c, as 16-bit integers, zeros behind the last token.

    They take the place of the sums; a sum counts `unit` in the exponent of 2. Gives 1 / the sum of
    the integers; NaN if a score is not finite.
    """
    # First pass: the largest. What is behind the last token repeats it, and so changes nothing.
    sums = load_i(row, 0)
    for i in range(LANES, width, LANES):
        sums = select(load_i(row, i) > sums, load_i(row, i), sums)
    peak = splat(largest(to_float(sums)))
    # Second pass: exponentials and their sum, which decides how fine the integers may be.
    sum_ = splat(0.0)
    for i in range(0, width, LANES):
        # the difference first: 0 for the largest, so that no weight is above 1
        weights = exp2(to_float(load_i(row, i)) - peak, splat(unit))
        if i + LANES > length:
            # in the last vectors alone: nobody attends to what is behind the last token
            weights = select(lane() < splat(length - i), weights, splat(0.0))
        store(row, i, weights)
        sum_ = sum_ + weights
    real_sum = total(sum_)
    c = splat(min(float32(WEIGHTS) / real_sum, float32(32767)))
    # Third pass: integers. Their own sum is the divisor, so rounding moves no row as a whole.
    integers = splat(0)
    for i in range(0, width, LANES):
        # + MAGIC leaves the integer in the low bits (`kernels.exp`).
        shifted = bits(fma(load_f(row, i), c, splat(MAGIC)))
        # Shorter than what was read, so it overwrites only numbers that are used up.
        store_short(row, i, shifted)
        integers = integers + shifted
    integers = integers - splat(width // LANES * MAGIC_BITS)
    # exact: they are integers below 2²⁴
    return float32(1.0) / total(to_float(integers)) + (real_sum - real_sum)


@jit
def scale_tile(sums, m, shares, value_scales, out, ldo):
    """Sums of weights times values -> float32, for m rows of a panel."""
    for r in range(m):
        # The row's divisor and the column's scale are all that is left of three quantisations.
        share = splat(load_float(shares, r))
        for c in range(0, PANEL, LANES):
            y = to_float(load_i(sums, r * PANEL + c)) * share * load_f(value_scales, c)
            store(out, r * ldo + c, y)


@jit
def attention_head(query, queries, key, value, stride, length, K, out, ldo, scratch):
    """As `kernels.attention_head`."""
    places = head_scratch(length, K, ROWS, PANEL, 2)
    keys, values, value_scales = scratch, scratch + places[0] * 4, scratch + places[1] * 4
    scores, shares = scratch + places[2] * 4, scratch + places[3] * 4
    sums, rows, columns = scratch + places[4] * 4, scratch + places[5] * 4, scratch + places[6] * 4
    width, words = padded(length, PANEL), padded(K, NUMBERS * LANES) // NUMBERS
    keys_steps, values_steps = parts(K, NUMBERS), parts(length, 2)
    # The bounds are those of this text alone, so its bits do not depend on the batch.
    worth = score_columns(query, key, stride, length, K, columns)
    # with 1 / √K and the base of exp2, in one factor
    unit = float32(LOG2_E) / sqrt(float32(K)) * worth
    pack_keys(key, stride, length, K, columns + 2 * padded(K, LANES) * 4, keys, rows)
    pack_values(value, stride, length, K, values, value_scales)
    for top in range(0, queries, ROWS):
        m = min(ROWS, queries - top)
        # The keys' rows are packed, so their place is free for those of queries.
        quantize_rows(query, stride, top, m, length - 1, K, columns, 0, rows)
        for j in range(0, width, PANEL):
            panel = keys + j * words * 4
            multiply_keys(m, rows, words, panel, keys_steps, scores + j * 4, width)
        # weights take the place of scores, half as wide
        for r in range(m):
            store(shares, r, softmax(scores + r * width * 4, length, width, unit))
        for j in range(0, K, PANEL):
            panel, target = values + j * values_steps * 4, out + (top * ldo + j) * 4
            # two tokens a step; an odd last one meets a weight of 0
            multiply_values(m, scores, width, panel, values_steps, sums, PANEL)
            if j + PANEL <= K:
                scale_tile(sums, m, shares, value_scales + j * 4, target, ldo)
            else:
                scale_tile(sums, m, shares, value_scales + j * 4, sums, PANEL)
                copy_columns(sums, PANEL, m, K - j, target, ldo)
