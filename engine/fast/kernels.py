"""What happens between matrix products: one row, one tile or one head at a time.

The same functions as in `engine.model`, for numba: addresses and sizes in, results written to an
address. Nothing here allocates, raises or sees a Python object, so that the machine code can be
kept on disk. A row begins at its address and is `width` numbers long, a multiple of LANES: where
a size is not, zeros follow, and stay zeros.

Numbers that are not finite (weights can be so large that sums overflow) are never lost: a result
that depends on one is not finite either, and is refused in the end. Comparisons with NaN are false,
so wherever one selects, NaN must fall on the side that keeps it.

Letters as in `engine.model`.
"""

import math

from numba import float32, njit

from engine.fast import job
from engine.fast.codegen.constants import LANES, TARGET
from engine.fast.codegen.micro_kernel import tile
from engine.fast.codegen.shuffles import transpose
from engine.fast.codegen.simd import (
    absolute,
    bits,
    fma,
    from_bits,
    lane,
    largest,
    load_f,
    load_float,
    select,
    splat,
    sqrt,
    store,
    total,
)

# error_model: a division by zero gives infinity, where Python would raise
jit = njit(nogil=True, error_model="numpy")

ROWS, PANEL = TARGET.tiles["attention"][0], TARGET.panel("attention")
multiply = tile("attention")
head_scratch = jit(job.head_scratch)

LOG2_E = 1.4426950408889634
# as Cephes splits it (Moshier 1989)
LN2_HIGH, LN2_LOW = 0.693359375, -2.1219444005469057e-4  # ln 2, the first exact in 10 bits
LEAST = -86.99999237060547  # the float32 next to -87
MAGIC = 12582912.0  # 1.5 * 2^23: adding it rounds a float32 to an integer, in its low bits


@jit
def exp(x):
    """e^x, for x <= 88; relative error below 2e-7. From -87 down it is 0: no denormal numbers.

    x = n ln 2 + r, |r| <= ln 2 / 2; e^r by a polynomial (least maximum, 3e-9); 2^n by adding n to
    the exponent's bits.
    """
    # x log2(e) rounded to the nearest n: in the sum with 1.5 * 2²³ the unit is the last bit.
    shifted = fma(x, splat(LOG2_E), splat(MAGIC))
    n = shifted - splat(MAGIC)
    # r = x - n ln 2 in two steps (Cody & Waite 1980): n LN2_HIGH is exact, so no digits are lost.
    r = fma(n, splat(-LN2_HIGH), x)
    r = fma(n, splat(-LN2_LOW), r)
    # Horner's rule, least power last
    p = splat(0.0013814469218067608)
    p = fma(p, r, splat(0.00836878076210591))
    p = fma(p, r, splat(0.04166839419471974))
    p = fma(p, r, splat(0.16666520104677857))
    p = fma(p, r, splat(0.49999993412493693))
    p = fma(p, r, splat(1.0))
    p = fma(p, r, splat(1.0))
    # The low bits of `shifted` are n; 23 places up they are the exponent's.
    scaled = from_bits(bits(p) + (bits(shifted) << splat(23)))
    return select(splat(LEAST) > x, splat(0.0), scaled)


@jit
def gelu(x):
    """x Φ(x) = max(x, 0) - |x| erfc(|x| / √2) / 2, absolute error below 1e-7 max(1, |x|).

    erfc(z) = e^(-z²) (a₁ t + ... + a₆ t⁶), t = 1 / (1 + 0.57 z): the form of Abramowitz & Stegun
    7.1.26 with a term more, fitted here for the least error of x Φ(x), 2e-8.
    """
    size = absolute(x)
    # As in the model, with |x|: no case for negative x, and no difference of nearly equal numbers
    # where the result is tiny.
    t = splat(1.0) / fma(size, splat(0.57 * 0.7071067811865476), splat(1.0))
    p = splat(0.11597368326153983)
    p = fma(p, t, splat(-0.513032498294399))
    p = fma(p, t, splat(0.6669005120144216))
    p = fma(p, t, splat(0.037315186329838435))
    p = fma(p, t, splat(0.37659415897002285))
    p = fma(p, t, splat(0.3162498965567065))
    erfc = p * t * exp(size * size * splat(-0.5))
    positive = select(x > splat(0.0), x, splat(0.0))
    return fma(size * splat(-0.5), erfc, positive)


@jit
def layer_norm(row, out, width, real_width, scale, shift, eps):
    """`real_width` numbers to mean 0 and variance 1, scaled and shifted; the zeros behind stay.

    NaN where the squares overflow: divided by infinity, the row would pass for the shift alone.
    """
    # Two passes, mean first: squares of what is already centred do not cancel.
    mean = splat(0.0)
    for i in range(0, width, LANES):
        mean = mean + load_f(row, i)
    mean = splat(total(mean) / real_width)
    squares = splat(0.0)
    for i in range(0, width, LANES):
        centred = load_f(row, i) - mean
        # The zeros behind the row would count as -mean.
        centred = select(lane() < splat(real_width - i), centred, splat(0.0))
        squares = fma(centred, centred, squares)
    variance = splat(total(squares) / real_width)
    # variance - variance: 0, or NaN where it overflowed
    factor = splat(1.0) / sqrt(variance + splat(eps)) + (variance - variance)
    # scale and shift are padded with zeros, so the numbers behind the row become 0.
    for i in range(0, width, LANES):
        normal = (load_f(row, i) - mean) * factor
        store(out, i, fma(normal, load_f(scale, i), load_f(shift, i)))


@jit
def softmax(row, length, width, factor):
    """Numbers 0..length of `factor` times the row to shares that sum to 1; the rest to 0."""
    # First pass: scale the scores, put -inf behind them (their exp is 0), find the largest.
    peak = splat(-math.inf)
    for i in range(0, width, LANES):
        scores = load_f(row, i) * splat(factor)
        scores = select(lane() < splat(length - i), scores, splat(-math.inf))
        store(row, i, scores)
        peak = select(scores > peak, scores, peak)
    peak = splat(largest(peak))
    # Second pass: exp and sum. Subtracting the largest changes no share, and exp cannot overflow.
    sum_ = splat(0.0)
    for i in range(0, width, LANES):
        weights = exp(load_f(row, i) - peak)
        store(row, i, weights)
        sum_ = sum_ + weights
    # Third pass: one division for the row.
    share = splat(1.0) / splat(total(sum_))
    for i in range(0, width, LANES):
        store(row, i, load_f(row, i) * share)


@jit
def row_of(rows, r):
    """The address of row r."""
    return rows.address + r * rows.stride * 4


@jit
def parts(size, each):
    """How many parts of at most `each` the size has."""
    # // rounds down, so one less than a part is added; sizes are not negative
    return (size + each - 1) // each


@jit
def padded(size, multiple):
    """The least multiple that is not less than size."""
    return parts(size, multiple) * multiple


@jit
def pack_keys(keys, stride, length, K, out):
    """Rows of K numbers -> panels of PANEL tokens, [number][token].

    Behind the last token it is repeated: softmax gives it no weight there.
    """
    # A transposition: keys are the columns of Q Kᵀ, and `multiply` reads a panel of columns.
    width = padded(K, LANES)
    for first in range(0, padded(length, PANEL), LANES):
        rows, count = keys + min(first, length - 1) * stride * 4, max(1, min(LANES, length - first))
        panel = out + ((first // PANEL) * width * PANEL + first % PANEL) * 4
        for k in range(0, width, LANES):
            transpose(rows + k * 4, stride, count, panel + k * PANEL * 4, PANEL)


@jit
def pack_values(values, stride, length, K, out):
    """Rows of K numbers -> panels of PANEL numbers, [token][number].

    Whole panels are read, so that up to PANEL - 1 numbers behind K come along; they are not used.
    """
    for first in range(0, K, PANEL):
        # Values need no transposition: they are already rows along the sum, which is over tokens.
        for token in range(length):
            for i in range(0, PANEL, LANES):
                store(out, token * PANEL + i, load_f(values, token * stride + first + i))
        out += length * PANEL * 4


@jit
def attention_head(query, queries, key, value, stride, length, K, out, ldo, scratch):
    """softmax(Q Kᵀ / √K) V for one head of one text: the first `queries` of its `length` tokens.

    Rows of the head lie `stride` numbers apart; results go to rows `ldo` apart. ROWS queries at a
    time see all keys, so that their scores stay in the first cache: no L x L array exists.
    `scratch` is laid out by `head_scratch`.
    """
    # `head_scratch` counts numbers, addresses count bytes.
    places = head_scratch(length, K, ROWS, PANEL, 1)
    keys, values = scratch, scratch + places[0] * 4
    scores, spare = scratch + places[2] * 4, scratch + places[4] * 4
    keys_width, width = padded(length, PANEL), padded(K, LANES)
    # Keys and values are packed once, and read for every ROWS queries.
    pack_keys(key, stride, length, K, keys)
    pack_values(value, stride, length, K, values)
    factor = float32(1.0) / sqrt(float32(K))
    # Like FlashAttention (Dao et al. 2022) in that scores never leave the cache; but all keys of a
    # text fit it here, so softmax needs no running maximum, and the sums keep one order.
    for top in range(0, queries, ROWS):
        m = min(ROWS, queries - top)
        rows = query + top * stride * 4
        # scores = Q Kᵀ for these rows, a panel of keys at a time
        for j in range(0, keys_width, PANEL):
            multiply(m, rows, stride, keys + j * width * 4, K, scores + j * 4, keys_width)
        # 1 / √K is applied here; what is behind the last key gets shares of 0
        for r in range(m):
            softmax(scores + r * keys_width * 4, length, keys_width, factor)
        # weights times V, a panel of V's columns at a time. The last one may be wider than the
        # head: its tile goes aside, or it would overwrite the next head's columns.
        for j in range(0, K, PANEL):
            target, panel = out + (top * ldo + j) * 4, values + j * length * 4
            if j + PANEL <= K:
                multiply(m, scores, keys_width, panel, length, target, ldo)
            else:
                multiply(m, scores, keys_width, panel, length, spare, PANEL)
                copy_columns(spare, PANEL, m, K - j, target, ldo)


@jit
def copy_columns(tile_, width, rows, columns, out, ldo):
    """The first columns of a tile of `width` columns, number by number."""
    # One number at a time, because the next head begins right behind.
    for r in range(rows):
        for c in range(columns):
            store(out, r * ldo + c, load_float(tile_, r * width + c))
