"""Queries and keys of a head -> integers, of which `integer_attention` multiplies all with all.

    integer ≈ factor * (x - middle)    a factor and a middle for each column; of queries, middle 0

What softmax ignores is used: a number that all keys have in common adds the same to every score of
a query. So each column of the keys is centred, and its range serves its integers fully. Factors of
queries and keys balance each other, so that no column is coarser than another.

Integers have 16 bits in the precision int16, where this makes 1 - cosine on MiniLM 2e-8, and 8 bits
in int8: 1e-5, beside the 3.9e-4 of its maps. Every bound is that of one text alone, so its bits do
not depend on the batch.
"""

from numba import float32

from engine.fast.codegen.constants import LANES, PRECISION, TARGET
from engine.fast.codegen.micro_kernel import tile
from engine.fast.codegen.shuffles import transpose
from engine.fast.codegen.simd import (
    absolute,
    bits,
    fma,
    lane,
    largest,
    load_f,
    select,
    splat,
    sqrt,
    store,
    store_byte,
    store_short,
    total,
)
from engine.fast.kernels import MAGIC, jit, padded
from engine.fast.weights.quantize import LENGTH

PANEL = TARGET.panel("attention_int16")
# Queries and keys in 8 bits, but where the CPU sums pairs of such products in 16 bits.
EIGHT_BITS = PRECISION == "int8" and not TARGET.sums_pairs
LEVELS = 127 if EIGHT_BITS else 32767
# Bytes where one instruction multiplies them; elsewhere the same integers in 16 bits are faster.
BYTES = EIGHT_BITS and "attention_int8" in TARGET.tiles
multiply_keys = tile("attention_int8" if BYTES else "attention_int16")
NUMBERS = 4 if BYTES else 2  # in a word
store_integers = store_byte if BYTES else store_short
# Where the instruction wants one side without sign, 128 is added to keys, which adds the same to
# all scores of a query.
ZERO = 128 - TARGET.offset if BYTES else 0


@jit
def balance(queries, keys, stride, length, real, columns, width):
    """What `score_columns` stores, but for the scale, for LANES columns of which some are `real`.

    Gives the columns' peaks, of queries and keys alike, and 0, or NaN where one is not finite.
    """
    # Bounds of columns need no sum along each row, which would cost more than the rest.
    # 1e-30: columns of zeros are fine. 0 * x is NaN for a number that is not finite.
    query_peak, zeros = splat(1e-30), splat(0.0)
    low = high = select(real, load_f(keys, 0), zeros)
    for token in range(length):
        q = select(real, load_f(queries, token * stride), splat(0.0))
        k = select(real, load_f(keys, token * stride), splat(0.0))
        zeros = fma(q, splat(0.0), fma(k, splat(0.0), zeros))
        query_peak = select(absolute(q) > query_peak, absolute(q), query_peak)
        low, high = select(low > k, k, low), select(k > high, k, high)
    # What all keys have in common adds the same to all scores of a query: softmax ignores it.
    middle = low * splat(0.5) + high * splat(0.5)
    key_peak = select(high - middle > middle - low, high - middle, middle - low) + splat(1e-30)
    # A column's peak becomes the geometric mean of both, in queries and in keys.
    peak = sqrt(query_peak) * sqrt(key_peak)
    store(columns, 0, peak / query_peak)
    store(columns, width, splat(0.0))
    store(columns, 2 * width, peak / key_peak)
    store(columns, 3 * width, middle)
    return peak, zeros


@jit
def score_columns(queries, keys, stride, length, K, columns):
    """How the queries and keys of a head become integers: factor * (x - middle).

    `columns` gets rows of K numbers, padded to whole vectors: the factor and the middle of each
    column of the queries, then those of the keys. Gives the worth of a sum of products of integers.

    No sum overflows: the largest numbers of the columns, as one row, are no shorter than any row of
    the head; scaled to the length that `weights.quantize` allows, they bound all sums
    (Cauchy-Schwarz).
    """
    width = padded(K, LANES)
    squares, highest, zeros = splat(0.0), splat(0.0), splat(0.0)
    for i in range(0, K, LANES):
        # Behind the head's columns are those of the next head.
        real, at = lane() < splat(K - i), i * 4
        peak, nans = balance(queries + at, keys + at, stride, length, real, columns + at, width)
        squares = fma(peak, peak, squares)
        highest = select(peak > highest, peak, highest)
        zeros = zeros + nans
    # 1e-20: never too short, even where squares underflow
    norm = sqrt(total(squares)) + float32(1e-20)
    # The norm bounds sums; LEVELS is what an integer holds. The smaller factor wins.
    limit = float32(LENGTH - 1) - sqrt(float32(K)) * float32(0.5)  # `quantize.length_limit`
    scale = min(limit / norm, float32(LEVELS) / largest(highest)) + total(zeros)
    for i in range(0, width, LANES):
        for factor in (i, 2 * width + i):
            store(columns, factor, load_f(columns, factor) * splat(scale))
    return float32(1.0) / scale / scale


@jit
def quantize_rows(rows, stride, first, count, last, K, columns, zero, out):
    """`count` rows from row `first` on -> words of integers plus `zero`, zeros behind; no row
    behind `last` is read, but that one again."""
    middles, width = columns + padded(K, LANES) * 4, padded(K, NUMBERS * LANES)
    for r in range(count):
        row = rows + min(first + r, last) * stride * 4
        for i in range(0, width, LANES):
            # zeros behind: `multiply_keys` reads all of the last word
            x = splat(0.0)
            if i < K:
                x = (load_f(row, i) - load_f(middles, i)) * load_f(columns, i)
                x = select(lane() < splat(K - i), x, splat(0.0))
            # + 1.5 * 2²³ rounds to an integer and leaves it in the low bits (`kernels.exp`)
            store_integers(out, r * width + i, bits(x + splat(MAGIC + zero)))


@jit
def pack_keys(keys, stride, length, K, columns, out, rows):
    """Rows of K numbers -> panels of PANEL tokens, [word][token].

    Behind the last token it is repeated: softmax gives it no weight there.
    """
    words = padded(K, NUMBERS * LANES) // NUMBERS
    for first in range(0, padded(length, PANEL), LANES):
        # Rows first: the integers of a word are neighbours then, and words are transposed.
        quantize_rows(keys, stride, first, LANES, length - 1, K, columns, ZERO, rows)
        panel = out + ((first // PANEL) * words * PANEL + first % PANEL) * 4
        for word in range(0, words, LANES):
            transpose(rows + word * 4, words, LANES, panel + word * PANEL * 4, PANEL)
