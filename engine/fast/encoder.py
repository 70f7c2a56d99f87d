"""The twin of `engine.model`: the same steps in the same order, compiled, shared among threads.

`encode(job, scratch)` computes one batch from token ids to pooled vectors. Any number of threads
may call it with the same job, each with scratch memory of its own, and may come when they like:
each step is cut into tasks, a thread takes the next task that nobody has, and goes on when all
tasks of the step are done. One thread alone does everything; one that comes late helps with what
is left; nobody is waited for who has not taken a task. Who does a task makes no difference to its
result.

A job is a table of int64, addresses and sizes at the places named in `layout`; so is a layer.
"""

from numba import float32, types

from engine.fast import job as at
from engine.fast.barrier import step
from engine.fast.codegen.constants import LANES
from engine.fast.codegen.simd import load_f, load_float, load_int, load_long, splat, store
from engine.fast.kernels import attention_head, jit, layer_norm
from engine.fast.layers import (
    GELU,
    NOTHING,
    QUANTIZES,
    RESIDUAL,
    linear,
    linear_tasks,
    quantize_row,
)

CHUNK = 2  # rows a task of the steps that go row by row


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
    linear(job, scratch, linear_map, source, stride, width, out, out_stride, width, RESIDUAL, task)


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
    chunks = (tokens + CHUNK - 1) // CHUNK
    number = to_qkv(job, scratch, layer, number, linear_tasks(job, width, 3 * width))
    number = attend(job, scratch, layer, number, texts * load_long(job, at.HEADS))
    if QUANTIZES:
        number = quantize_heads(job, scratch, layer, number, chunks)
    number = from_heads(job, scratch, layer, number, linear_tasks(job, width, width))
    number = attention_norm(job, scratch, layer, number, chunks)
    number = up(job, scratch, layer, number, linear_tasks(job, width, wide))
    if QUANTIZES:
        number = quantize_wide(job, scratch, layer, number, chunks)
    number = down(job, scratch, layer, number, linear_tasks(job, wide, width))
    return output_norm(job, scratch, layer, number, chunks)


@step
@jit
def pool(job, scratch, layer, text):
    """One vector of a text: the mean of its tokens, or its first token."""
    first = load_int(load_long(job, at.CU_SEQLENS), text)
    last = load_int(load_long(job, at.CU_SEQLENS), text + 1)
    stride, width = load_long(job, at.X_STRIDE) * 4, load_long(job, at.D_WIDTH)
    if load_int(load_long(job, at.POOLINGS), text) == at.CLS:
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
