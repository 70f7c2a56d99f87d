"""Places in the tables of int64 through which Python and compiled code speak: see `encoder`.

Sizes count numbers, not bytes; the rows of a matrix begin `..._STRIDE` numbers apart. Widths are
padded to whole vectors, with zeros.
"""

from itertools import count

_job = count()

# what the batch is
TOKENS, TEXTS, IDS, POSITIONS, CU_SEQLENS, POOLINGS, OUT = (next(_job) for _ in range(7))
# how large the model is
D, D_WIDTH, HEADS, F_WIDTH, LAYER_COUNT, EPS = (next(_job) for _ in range(6))
# where its weights are
WORD, POSITION, TOKEN_TYPE, EMBED_SCALE, EMBED_SHIFT, LAYERS = (next(_job) for _ in range(6))
# memory for the batch
X, SUMS, X_STRIDE, QKV, QKV_STRIDE, WIDE, WIDE_STRIDE = (next(_job) for _ in range(7))
# of quantised products: rows of integers, their stride in words, scale and low of each row, the
# blocks of the rotations over D and F and their signs, the limits of a row's norm
INTEGERS, INTEGERS_STRIDE, ROW_SCALES, BLOCK_D, BLOCK_F, SIGNS, NORM_D, NORM_F = (
    next(_job) for _ in range(8)
)
# how many threads may come; two counters for each step, of tasks taken and tasks done; the C
# function to call while waiting
THREADS, TICKETS, YIELD = (next(_job) for _ in range(3))
JOB_SIZE = next(_job)

# a layer: four linear maps, each with these four addresses, and two layer norms
PANELS, BIAS, SCALES, OFFSETS = range(4)
TO_QKV, FROM_HEADS, UP, DOWN = (4 * n for n in range(4))


NORM1_SCALE, NORM1_SHIFT, NORM2_SCALE, NORM2_SHIFT = range(16, 20)
LAYER_SIZE = 20

TICKET_BYTES = 64  # a step's counters have a cache line of their own
STEPS_BEFORE, STEPS_A_LAYER, STEPS_AFTER = 1, 9, 1  # 2 of the 9 only where products are quantised

MEAN, CLS = range(2)  # what POOLINGS says of a text

# Numbers between the rows of a matrix, so that rows do not fall on the same lines of the cache.
# `pack_values` may read up to a panel of them behind a row's last head: SPARE is no less.
SPARE = 64


def head_scratch(length, K, rows, panel):
    """Scratch memory of `attention_head` for a text of `length` tokens.

    Gives where its values, scores and spare tile begin and where that ends, in numbers from the
    start: keys (K, length), values (length, K), scores (rows, length), spare (rows, panel). The
    axes of keys' and scores' length and of values' K are padded to whole panels.
    """
    keys_width, values_width = -(-length // panel) * panel, -(-K // panel) * panel
    values = K * keys_width
    scores = values + length * values_width
    spare = scores + rows * keys_width
    return values, scores, spare, spare + rows * panel
