"""The structures that Python fills in and kernels read: one numpy dtype each.

Python writes `job["tokens"] = 7`; in kernels the same memory is a record, `job.tokens` (see
`codegen.records`). An address is where an array begins. Sizes, widths and strides count numbers,
which are float32 or, in `integers`, 32-bit words; never bytes. A width is a size padded with zeros
to whole vectors. Letters as in `engine.model`; T is at most the tokens of a batch.
"""

import numpy as np

from engine.fast.codegen.target import LANES

ADDRESS = SIZE = np.int64


def struct(*fields: tuple[str, object]) -> np.dtype:
    """Laid out as a C compiler does, so that every field is aligned."""
    return np.dtype(list(fields), align=True)


ROWS = struct(  # a matrix with a row for each token
    ("address", ADDRESS),
    ("stride", SIZE),  # numbers from one row to the next
)

NORM = struct(  # a layer norm
    ("scale", ADDRESS),  # (D_width,) float32
    ("shift", ADDRESS),  # (D_width,) float32
    ("signs", ADDRESS),  # (D_width,) float32: what its rows are multiplied by, then rotated; int8
)

LINEAR_MAP = struct(  # x Wᵀ + b
    ("panels", ADDRESS),  # W in the order in which it is read: see `weights.packing`
    ("bias", ADDRESS),  # (out_width,) float32, padded to whole panels as all that follows
    ("scales", ADDRESS),  # (out_width,) float32, W = scale * integer; int16 and int8
    ("offsets", ADDRESS),  # (out_width,) float32, scale * sum of a column's integers; int8
    ("missing", ADDRESS),  # (out_width,) int32, `Target.offset` * that sum; int8, where it is not 0
    ("width", SIZE),  # of a row of x
    ("out_width", SIZE),  # of a row of the result
)

LAYER = struct(  # the names of `checkpoint.weights.Layer`
    ("qkv", LINEAR_MAP),  # query, key and value side by side
    ("attention_output", LINEAR_MAP),
    ("attention_norm", NORM),
    ("up", LINEAR_MAP),
    ("down", LINEAR_MAP),
    ("output_norm", NORM),
)

QUANTIZER = struct(  # how rows of one width become integers
    ("width", SIZE),
    ("block", SIZE),  # numbers that are rotated together; int8
    ("norm_limit", SIZE),  # the largest norm of a row's integers; int16
)

JOB = struct(
    # the batch
    ("tokens", SIZE),
    ("texts", SIZE),
    ("ids", ADDRESS),  # (T,) int32
    ("positions", ADDRESS),  # (T,) int32
    ("cu_seqlens", ADDRESS),  # (S + 1,) int32
    ("poolings", ADDRESS),  # (S,) int32, places in POOLINGS
    # the model
    ("D", SIZE),
    ("D_width", SIZE),
    ("heads", SIZE),
    ("eps", np.float32),
    ("layer_count", SIZE),
    ("layers", ADDRESS),  # (layer_count,) LAYER
    ("word", ADDRESS),  # (V, D_width) float32
    ("position", ADDRESS),  # (P, D_width) float32
    ("token_type", ADDRESS),  # (D_width,) float32
    ("embedding_norm", NORM),
    # results of the steps
    ("x", ROWS),  # (T, D_width): what goes into a layer, and the last hidden state
    ("sums", ROWS),  # (T, D_width): what is normalised next
    ("qkv", ROWS),  # (T, 3 D_width): queries, keys, values; then what the heads gathered
    ("wide", ROWS),  # (T, F_width): inside of the feed-forward
    ("out", ADDRESS),  # (S, D_width) float32: the pooled vectors
    # A JOB of the rows that the last layer must give: this one's own address, or that of one with
    # the first token of each text, where all texts are pooled by cls.
    ("last", ADDRESS),
    # quantised products: the rows that the next one reads
    ("integers", ROWS),  # (T, the widest): 32-bit words
    ("row_scales", ADDRESS),  # (T, 2) float32: scale and low of each row
    ("quantize_D", QUANTIZER),
    ("quantize_F", QUANTIZER),
    ("signs", ADDRESS),  # (the widest,) float32: 1 or -1, for rows of no layer norm; int8
    # threads
    ("threads", SIZE),  # how many may take part
    ("tickets", ADDRESS),  # TICKET_BYTES a phase; 0: `encode` only counts the phases
    ("sched_yield", ADDRESS),  # the C function to call while waiting
)

WORKER = struct(  # one thread's own: this, and behind it scratch memory
    ("phase", SIZE),  # how many phases lie behind
    ("scratch", ADDRESS),
)
SCRATCH_AT = 64  # bytes from WORKER to the scratch memory: a line of the cache

POOLINGS = ("mean", "cls")

TICKET_BYTES = 64  # a phase's two counters have a cache line of their own

# Numbers between the rows of a matrix, so that rows do not fall on the same lines of the cache.
# Attention may read up to a panel of them behind a row's last head: SPARE is no less.
SPARE = 64


def head_scratch(length, K, rows, panel, numbers):
    """Scratch memory of an attention head for a text of `length` tokens, `numbers` in a word.

    Keys are at its start. Gives where values, their scales, scores, shares, the spare tile, rows
    and columns begin, and where those end, in words from the start: keys (K, length), values
    (length, K), scales (K), scores (rows, length), shares (rows), spare tile (rows, panel),
    rows (rows or LANES, K), columns (4, K). Keys' and scores' length and values' K are padded to
    whole panels, other K to whole vectors.
    """
    keys_width, values_width = -(-length // panel) * panel, -(-K // panel) * panel
    words = -(-K // (numbers * LANES)) * LANES  # of a row of K numbers
    values = words * keys_width
    scales = values + -(-length // numbers) * values_width
    scores = scales + values_width
    shares = scores + rows * keys_width
    tile = shares + rows
    row = tile + rows * panel
    columns = row + max(rows, LANES) * words
    return values, scales, scores, shares, tile, row, columns, columns + 4 * numbers * words
