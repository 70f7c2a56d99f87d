"""The twin of `engine.model`: the same functions in the same order, compiled, shared by threads.

`encode(job, worker)` computes one batch from token ids to pooled vectors. Its arguments are the
addresses of a JOB and of the thread's own WORKER (`fast.job` describes both). Any number of threads
may call it with the same job, at any time. Each phase is cut into tasks, and a thread claims one
task after another (`fast.barrier`). Results do not depend on which thread ran a task.

What differs from the model: rows are written to the buffers of the job instead of new arrays; the
residual is added as a product ends; and where products are quantised, rows are turned into integers
before them. Where all texts of a batch are pooled by cls, the last layer computes first tokens
only, from the keys and values of all (`JOB.last`). `softmax` and `gelu` are in `fast.kernels`.
"""

from numba import float32, types

from engine.fast import integer_attention, kernels
from engine.fast.barrier import phase
from engine.fast.codegen.constants import LANES
from engine.fast.codegen.records import view
from engine.fast.codegen.simd import load_f, load_int, splat, store
from engine.fast.integers import QUANTIZES, quantize_row
from engine.fast.job import JOB, LAYER, POOLINGS, SCRATCH_AT, WORKER
from engine.fast.kernels import jit, parts, row_of
from engine.fast.layers import (
    A_WORD,
    GELU,
    NOTHING,
    PANEL,
    RESIDUAL,
    ROWS,
    ROWS_A_TASK,
    configured_for,
    copy_row,
    epilogue,
    linear_tasks,
    multiply,
    normalize_row,
    panels_a_task,
    release,
    row_tasks,
    rows_of,
)

CLS = POOLINGS.index("cls")
LAYER_BYTES = LAYER.itemsize

attention_head = integer_attention.attention_head if QUANTIZES else kernels.attention_head

# Kernels get addresses; these make records of them, at no cost.
job_at, layer_at, worker_at = view(JOB), view(LAYER), view(WORKER)


@phase(linear_tasks)
@jit
def linear(job, me, task, x, weights, out, then):
    """x Wᵀ + b for some panels of columns and a block of rows, then what `then` names."""
    # QUANTIZES is a constant of the compiled code: in float32 the branch is not there.
    if QUANTIZES:
        x = job.integers  # the same rows
    # Tasks are numbered block by block within a group of panels: threads that work at the same time
    # read the same weights, from a cache that they share.
    steps, group = weights.width // A_WORD, panels_a_task(job, weights)
    blocks = parts(job.tokens, ROWS_A_TASK)
    # `left` is the first column of the group, `top` the first row of the block.
    left, top = (task // blocks) * group * PANEL, (task % blocks) * ROWS_A_TASK
    bottom = min(top + ROWS_A_TASK, job.tokens)
    # Panel after panel: its weights stay in the cache for all rows of the block.
    configured = 0  # rows
    for column in range(left, min(left + group * PANEL, weights.out_width), PANEL):
        panel = weights.panels + column * steps * 4
        for r in range(top, bottom, ROWS):
            m = min(ROWS, bottom - r)
            configured = configured_for(m, configured)
            # the sums of a tile are in the cache still when the epilogue reads them
            multiply(m, row_of(x, r), x.stride, panel, steps, me.scratch, PANEL)
            epilogue(job, weights, me.scratch, m, r, column, out, then)
    release()


@phase(row_tasks)
@jit
def layer_norm(job, me, task, norm):
    """Each token to mean 0 and variance 1, then scaled and shifted."""
    for r in rows_of(job, task):
        normalize_row(job, me, norm, r)


@phase(row_tasks)
@jit
def quantize(job, me, task, x, quantizer):
    """Rows -> the integers that the next product reads."""
    for r in rows_of(job, task):
        quantize_row(job, me, row_of(x, r), job.signs, quantizer, r)


@jit
def split_heads(job, task):
    """A task is one head of one text: the row of its first token, its tokens, its first column."""
    text, head = task // job.heads, task % job.heads
    first = load_int(job.cu_seqlens, text)
    length = load_int(job.cu_seqlens, text + 1) - first
    return first, length, head * (job.D // job.heads)


@jit
def head_tasks(job, needed):
    return job.texts * job.heads


@phase(head_tasks)
@jit
def attend(job, me, task, needed):
    """softmax(Q Kᵀ / √K) V of one head of one text, for the rows of `needed`.

    If that is the job itself, the result takes the place of the queries.
    """
    # A row of `qkv` is queries, keys, values of all heads. Heads lie side by side in each part, so
    # splitting is arithmetic: nothing is copied.
    first, length, column = split_heads(job, task)
    # Queries, keys and values of a token lie D_width numbers apart in its row.
    query = row_of(job.qkv, first) + column * 4
    key = query + job.D_width * 4
    value = key + job.D_width * 4
    # The output may overwrite the queries: each tile of them is read before its result is
    # written, and no other task reads this head of this text.
    row, queries, _ = split_heads(needed, task)
    out = row_of(needed.qkv, row) + column * 4
    stride, ldo, K = job.qkv.stride, needed.qkv.stride, job.D // job.heads
    attention_head(query, queries, key, value, stride, length, K, out, ldo, me.scratch)


@jit
def first_tasks(job, needed):
    return 0 if needed.x.address == job.x.address else row_tasks(needed)


@phase(first_tasks)
@jit
def take_first(job, me, task, needed):
    """The first token of each text -> the rows of `needed`, which add them as the residual."""
    # Attention has read these rows; the residual, the norms and the feed-forward need no others.
    for r in rows_of(needed, task):
        copy_row(row_of(job.x, load_int(job.cu_seqlens, r)), row_of(needed.x, r), job.D_width)


@jit
def attention(job, needed, me, layer):
    """Every token gathers from the tokens of its own text, as much as query and key agree."""
    # One product for query, key and value: the rows of x are read once.
    linear(job, me, job.x, layer.qkv, job.qkv, NOTHING)
    attend(job, me, needed)
    take_first(job, me, needed)
    # Heads wrote float32. Each row is quantised as a whole, so all heads must be done first.
    if QUANTIZES:
        quantize(needed, me, needed.qkv, job.quantize_D)
    # RESIDUAL adds x, which no phase since `layer_norm` has changed.
    linear(needed, me, needed.qkv, layer.attention_output, needed.sums, RESIDUAL)


@jit
def feed_forward(job, me, layer):
    """Two linear maps with GELU between them, each token by itself."""
    linear(job, me, job.x, layer.up, job.wide, GELU)
    # A row's scale needs its largest number, so GELU's whole row must be there.
    if QUANTIZES:
        quantize(job, me, job.wide, job.quantize_F)
    linear(job, me, job.wide, layer.down, job.sums, RESIDUAL)


@jit
def encoder_layer(job, needed, me, layer):
    """Attention, then feed-forward; each added to what came in, then normalised ("post-norm").

    All tokens are attended to, but results are for the rows of `needed` alone.
    """
    attention(job, needed, me, layer)
    layer_norm(needed, me, layer.attention_norm)
    feed_forward(needed, me, layer)
    layer_norm(needed, me, layer.output_norm)


@phase(row_tasks)
@jit
def embed(job, me, task):
    """Word + token type + position, normalised."""
    width, token_type = job.D_width, job.token_type
    for r in rows_of(job, task):
        # ids and positions were checked before; nothing is checked here
        word = job.word + load_int(job.ids, r) * width * 4
        position = job.position + load_int(job.positions, r) * width * 4
        sums = row_of(job.sums, r)
        for i in range(0, width, LANES):
            x = load_f(word, i) + load_f(token_type, i)
            store(sums, i, x + load_f(position, i))
        normalize_row(job, me, job.embedding_norm, r)


@jit
def encode(job_address, worker_address):
    """The token ids of a batch -> the last hidden state in `x`, and pooled vectors in `out`."""
    # `me` is this thread's alone, `job` everybody's: only tickets and buffers in it are written.
    job, me = job_at(job_address), worker_at(worker_address)
    me.phase, me.scratch = 0, worker_address + SCRATCH_AT
    # All threads walk through the same phases; `job` says what, `me` says how far.
    embed(job, me)
    for n in range(job.layer_count):
        # The next layer needs all tokens. After the last one, cls pooling needs one a text.
        needed = job_at(job.last if n == job.layer_count - 1 else job_address)
        encoder_layer(job, needed, me, layer_at(job.layers + n * LAYER_BYTES))
    pool(job_at(job.last), me)


@jit
def mean_pool(job, first, last, out):
    """The average of the tokens from row `first` to before `last`, [CLS] and [SEP] included."""
    x, stride = row_of(job.x, first), job.x.stride
    # Multiplied once a number instead of divided; tokens are added in their order.
    share = splat(1.0) / splat(float32(last - first))
    for i in range(0, job.D_width, LANES):
        sums = splat(0.0)
        for r in range(last - first):
            sums = sums + load_f(x, r * stride + i)
        store(out, i, sums * share)


@jit
def cls_pool(job, first, out):
    """The first token, [CLS], represents the text."""
    copy_row(row_of(job.x, first), out, job.D_width)


@jit
def text_tasks(job):
    return job.texts


@phase(text_tasks)
@jit
def pool(job, me, text):
    """One vector of a text, as its pooling says."""
    first, last = load_int(job.cu_seqlens, text), load_int(job.cu_seqlens, text + 1)
    # rows of `out` lie side by side: they are copied out at once
    out = job.out + text * job.D_width * 4
    if load_int(job.poolings, text) == CLS:
        cls_pool(job, first, out)
    else:
        mean_pool(job, first, last, out)


SIGNATURE = types.void(types.int64, types.int64)
