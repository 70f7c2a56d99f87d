"""The twin of `engine.model`: the same steps in the same order, compiled, and shared among threads.

`encode(job, scratch)` computes one batch from token ids to pooled vectors. Any number of threads may
call it with the same job, each with scratch memory of its own, and may come when they like: each step
is cut into tasks, a thread takes the next task that nobody has, and goes on when all tasks of the
step are done. One thread alone does everything; one that comes late helps with what is left; nobody
is waited for who has not taken a task. Who does a task makes no difference to its result.

A job is a table of int64, addresses and sizes at the places named in `layout`; so is a layer.
"""

from numba import float32, types

from engine.fast import layout as at
from engine.fast.build import LANES, PRECISION, TARGET
from engine.fast.gemm import tile
from engine.fast.kernels import (
    attention_head,
    gelu,
    jit,
    layer_norm,
    padded,
    quantize_int8,
    quantize_int16,
    rotate,
)
from engine.fast.simd import (
    call,
    fma,
    load_f,
    load_float,
    load_i,
    load_int,
    load_long,
    read_ticket,
    splat,
    store,
    take_ticket,
    to_float,
)

ROWS, VECTORS = TARGET.tiles[PRECISION]
PANEL = VECTORS * LANES
ROWS_A_TASK = 16 * ROWS  # of a matrix product
CHUNK = 8  # rows a task of the steps that go row by row
NUMBERS_A_WORD = {"float32": 1, "int16": 2, "int8": 4}[PRECISION]
QUANTIZES, SHORT = PRECISION != "float32", PRECISION == "int16"
LEVELS = 127.0 if TARGET.int8 == "pairs" else 255.0
NOTHING, GELU, RESIDUAL = range(3)  # what follows a product and its bias

multiply = tile(PRECISION)


def step(task):
    """Shares the tasks 0, 1, ... count - 1 of one step among the threads that are here."""

    @jit
    def run(job, scratch, layer, number, count):
        taken = load_long(job, at.TICKETS) + number * at.TICKET_BYTES
        done = taken + 8
        mine = take_ticket(taken)
        while mine < count:
            task(job, scratch, layer, mine)
            take_ticket(done)
            mine = take_ticket(taken)
        turns = 0
        while read_ticket(done) < count:
            turns += 1
            if turns % 256 == 0:
                call(load_long(job, at.YIELD))
        return number + 1

    return run


@jit
def linear(job, scratch, linear_map, source, stride, width, out, out_stride, out_width, then, task):
    """x Wᵀ + b for one panel of columns and some rows, and what follows while they are at hand."""
    blocks = (load_long(job, at.TOKENS) + ROWS_A_TASK - 1) // ROWS_A_TASK
    column, top = (task // blocks) * PANEL, (task % blocks) * ROWS_A_TASK
    steps = width // NUMBERS_A_WORD
    panel = load_long(linear_map, at.PANELS) + column * steps * 4
    bottom = min(top + ROWS_A_TASK, load_long(job, at.TOKENS))
    for r in range(top, bottom, ROWS):
        m = min(ROWS, bottom - r)
        multiply(m, source + r * stride * 4, stride, panel, steps, scratch, PANEL)
        epilogue(job, linear_map, scratch, m, r, column, out, out_stride, out_width, then)


@jit
def epilogue(job, linear_map, sums, m, top, column, out, out_stride, out_width, then):
    """Sums of products -> numbers: scales if they are integers, bias, GELU or the residual."""
    bias = load_long(linear_map, at.BIAS)
    for r in range(m):
        row = out + (top + r) * out_stride * 4
        residual = load_long(job, at.X) + (top + r) * load_long(job, at.X_STRIDE) * 4
        for c in range(0, min(PANEL, out_width - column), LANES):
            if QUANTIZES:
                y = unquantized(job, linear_map, sums, r * PANEL + c, top + r, column + c)
            else:
                y = load_f(sums, r * PANEL + c)
            y = y + load_f(bias, column + c)
            if then == GELU:
                y = gelu(y)
            if then == RESIDUAL:
                y = y + load_f(residual, column + c)
            store(row, column + c, y)


@jit
def unquantized(job, linear_map, sums, i, row, column):
    """Σ (low + scale a) (column's scale) w: the sums of a w, and an offset that is known before."""
    scales = load_long(job, at.ROW_SCALES)
    y = to_float(load_i(sums, i)) * splat(load_float(scales, 2 * row))
    y = y * load_f(load_long(linear_map, at.SCALES), column)
    if SHORT:
        return y
    low = splat(load_float(scales, 2 * row + 1))
    return fma(low, load_f(load_long(linear_map, at.OFFSETS), column), y)


@jit
def quantize_row(job, scratch, row, width, block, norm, r):
    """One row to integers, where the products want them."""
    out = load_long(job, at.INTEGERS) + r * load_long(job, at.INTEGERS_STRIDE) * 4
    parameters = load_long(job, at.ROW_SCALES) + r * 8
    if SHORT:
        store(parameters, 0, quantize_int16(row, out, width, norm))
    else:
        rotate(row, scratch, width, block)
        quantize_int8(scratch, out, width, LEVELS, parameters)


@jit
def quantize_x(job, scratch, row, r):
    block, norm = load_long(job, at.BLOCK_D), load_long(job, at.NORM_D)
    quantize_row(job, scratch, row, load_long(job, at.D_WIDTH), block, norm, r)


@jit
def normalize_row(job, scratch, scale, shift, r):
    """A row of SUMS -> layer norm -> the row of X, and its integers."""
    stride = load_long(job, at.X_STRIDE) * 4
    x, width = load_long(job, at.X) + r * stride, load_long(job, at.D_WIDTH)
    eps = load_float(job, 2 * at.EPS)
    sums = load_long(job, at.SUMS) + r * stride
    layer_norm(sums, x, width, load_long(job, at.D), scale, shift, eps)
    if QUANTIZES:
        quantize_x(job, scratch, x, r)


@jit
def last_row(job, chunk):
    return min((chunk + 1) * CHUNK, load_long(job, at.TOKENS))


@step
@jit
def embed(job, scratch, layer, chunk):
    """Word + token type + position, normalised."""
    width = load_long(job, at.D_WIDTH)
    for r in range(chunk * CHUNK, last_row(job, chunk)):
        word = load_long(job, at.WORD) + load_int(load_long(job, at.IDS), r) * width * 4
        position = load_int(load_long(job, at.POSITIONS), r)
        place = load_long(job, at.POSITION) + position * width * 4
        sums = load_long(job, at.SUMS) + r * load_long(job, at.X_STRIDE) * 4
        for i in range(0, width, LANES):
            x = load_f(word, i) + load_f(load_long(job, at.TOKEN_TYPE), i)
            store(sums, i, x + load_f(place, i))
        scale, shift = load_long(job, at.EMBED_SCALE), load_long(job, at.EMBED_SHIFT)
        normalize_row(job, scratch, scale, shift, r)


@step
@jit
def to_qkv(job, scratch, layer, task):
    """Query, key and value of every head, side by side in one row."""
    width = load_long(job, at.D_WIDTH)
    source, stride = load_long(job, at.X), load_long(job, at.X_STRIDE)
    if QUANTIZES:
        source, stride = load_long(job, at.INTEGERS), load_long(job, at.INTEGERS_STRIDE)
    out, out_stride = load_long(job, at.QKV), load_long(job, at.QKV_STRIDE)
    linear_map = layer + 8 * at.TO_QKV
    linear(
        job, scratch, linear_map, source, stride, width, out, out_stride, 3 * width, NOTHING, task
    )


@step
@jit
def attend(job, scratch, layer, task):
    """One head of one text; what it gathers takes the place of its queries."""
    heads, width = load_long(job, at.HEADS), load_long(job, at.D_WIDTH)
    text, head = task // heads, task % heads
    K = load_long(job, at.D) // heads
    first = load_int(load_long(job, at.CU_SEQLENS), text)
    length = load_int(load_long(job, at.CU_SEQLENS), text + 1) - first
    stride = load_long(job, at.QKV_STRIDE)
    query = load_long(job, at.QKV) + (first * stride + head * K) * 4
    key, value = query + width * 4, query + 2 * width * 4
    attention_head(query, key, value, stride, length, K, query, stride, scratch)


@step
@jit
def quantize_heads(job, scratch, layer, chunk):
    """What the heads gathered, to integers."""
    for r in range(chunk * CHUNK, last_row(job, chunk)):
        row = load_long(job, at.QKV) + r * load_long(job, at.QKV_STRIDE) * 4
        quantize_x(job, scratch, row, r)


@step
@jit
def from_heads(job, scratch, layer, task):
    """One linear map joins the heads; plus what came into the layer."""
    width = load_long(job, at.D_WIDTH)
    source, stride = load_long(job, at.QKV), load_long(job, at.QKV_STRIDE)
    if QUANTIZES:
        source, stride = load_long(job, at.INTEGERS), load_long(job, at.INTEGERS_STRIDE)
    out, out_stride = load_long(job, at.SUMS), load_long(job, at.X_STRIDE)
    linear_map = layer + 8 * at.FROM_HEADS
    linear(
        job, scratch, linear_map, source, stride, width, out, out_stride, width, RESIDUAL, task
    )


@step
@jit
def attention_norm(job, scratch, layer, chunk):
    scale, shift = load_long(layer, at.NORM1_SCALE), load_long(layer, at.NORM1_SHIFT)
    for r in range(chunk * CHUNK, last_row(job, chunk)):
        normalize_row(job, scratch, scale, shift, r)


@step
@jit
def up(job, scratch, layer, task):
    """D -> F, with GELU."""
    source, stride = load_long(job, at.X), load_long(job, at.X_STRIDE)
    if QUANTIZES:
        source, stride = load_long(job, at.INTEGERS), load_long(job, at.INTEGERS_STRIDE)
    width, out_width = load_long(job, at.D_WIDTH), load_long(job, at.F_WIDTH)
    out, out_stride = load_long(job, at.WIDE), load_long(job, at.WIDE_STRIDE)
    linear_map = layer + 8 * at.UP
    linear(job, scratch, linear_map, source, stride, width, out, out_stride, out_width, GELU, task)


@step
@jit
def quantize_wide(job, scratch, layer, chunk):
    block, norm = load_long(job, at.BLOCK_F), load_long(job, at.NORM_F)
    for r in range(chunk * CHUNK, last_row(job, chunk)):
        row = load_long(job, at.WIDE) + r * load_long(job, at.WIDE_STRIDE) * 4
        quantize_row(job, scratch, row, load_long(job, at.F_WIDTH), block, norm, r)


@step
@jit
def down(job, scratch, layer, task):
    """F -> D, plus what came into the feed-forward."""
    source, stride = load_long(job, at.WIDE), load_long(job, at.WIDE_STRIDE)
    if QUANTIZES:
        source, stride = load_long(job, at.INTEGERS), load_long(job, at.INTEGERS_STRIDE)
    width, out_width = load_long(job, at.F_WIDTH), load_long(job, at.D_WIDTH)
    out, out_stride = load_long(job, at.SUMS), load_long(job, at.X_STRIDE)
    linear_map = layer + 8 * at.DOWN
    linear(
        job, scratch, linear_map, source, stride, width, out, out_stride, out_width, RESIDUAL, task
    )


@step
@jit
def output_norm(job, scratch, layer, chunk):
    scale, shift = load_long(layer, at.NORM2_SCALE), load_long(layer, at.NORM2_SHIFT)
    for r in range(chunk * CHUNK, last_row(job, chunk)):
        normalize_row(job, scratch, scale, shift, r)


@jit
def encoder_layer(job, scratch, layer, number):
    """One layer; gives the number of the step that follows."""
    tokens, texts = load_long(job, at.TOKENS), load_long(job, at.TEXTS)
    width, wide = load_long(job, at.D_WIDTH), load_long(job, at.F_WIDTH)
    blocks = (tokens + ROWS_A_TASK - 1) // ROWS_A_TASK
    chunks = (tokens + CHUNK - 1) // CHUNK
    narrow_tasks = padded(width, PANEL) // PANEL * blocks
    number = to_qkv(job, scratch, layer, number, padded(3 * width, PANEL) // PANEL * blocks)
    number = attend(job, scratch, layer, number, texts * load_long(job, at.HEADS))
    if QUANTIZES:
        number = quantize_heads(job, scratch, layer, number, chunks)
    number = from_heads(job, scratch, layer, number, narrow_tasks)
    number = attention_norm(job, scratch, layer, number, chunks)
    number = up(job, scratch, layer, number, padded(wide, PANEL) // PANEL * blocks)
    if QUANTIZES:
        number = quantize_wide(job, scratch, layer, number, chunks)
    number = down(job, scratch, layer, number, narrow_tasks)
    return output_norm(job, scratch, layer, number, chunks)


@step
@jit
def pool(job, scratch, layer, text):
    """One vector of a text: the mean of its tokens, or its first token."""
    first = load_int(load_long(job, at.CU_SEQLENS), text)
    last = load_int(load_long(job, at.CU_SEQLENS), text + 1)
    stride, width = load_long(job, at.X_STRIDE) * 4, load_long(job, at.D_WIDTH)
    if load_int(load_long(job, at.POOLINGS), text) == 1:  # cls
        last = first + 1
    share = splat(1.0) / splat(float32(last - first))
    out = load_long(job, at.OUT) + text * width * 4
    for i in range(0, width, LANES):
        sums = splat(0.0)
        for r in range(first, last):
            sums = sums + load_f(load_long(job, at.X) + r * stride, i)
        store(out, i, sums * share)


@jit
def encode(job, scratch):
    """Token ids -> the last hidden state in X, and pooled vectors in OUT."""
    chunks = (load_long(job, at.TOKENS) + CHUNK - 1) // CHUNK
    number = embed(job, scratch, 0, 0, chunks)
    for n in range(load_long(job, at.LAYER_COUNT)):
        layer = load_long(job, at.LAYERS) + n * at.LAYER_SIZE * 8
        number = encoder_layer(job, scratch, layer, number)
    pool(job, scratch, 0, number, load_long(job, at.TEXTS))


SIGNATURE = types.void(types.int64, types.int64)
