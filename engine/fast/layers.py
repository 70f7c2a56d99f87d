"""How rows are shared out as tasks, and what surrounds a product of whole rows, x Wᵀ + b.

Before it, rows become integers where products are quantised. After it, while the sums are in the
cache: integers become numbers again, then the bias, GELU or the residual.
"""

from engine.fast import kernels
from engine.fast.codegen.constants import LANES, PRECISION, TARGET
from engine.fast.codegen.micro_kernel import tile, tile_registers
from engine.fast.codegen.simd import load_f, store
from engine.fast.integers import QUANTIZES, gelu, quantize_row, to_numbers
from engine.fast.kernels import jit, parts, row_of
from engine.fast.weights.precisions import PRECISIONS

KIND = PRECISIONS[PRECISION]
ROWS, PANEL = TARGET.tiles[KIND.product][0], TARGET.panel(KIND.product)
# Enough that a panel of weights, read once a task, is used for many rows; few enough that there are
# tasks for all threads.
ROWS_A_TASK = min(16, 144 // ROWS) * ROWS
STRETCH = 300_000  # bytes of weights that a task reads, at most, where there are few tokens
A_WORD = KIND.numbers_a_word
# Few, so that short texts too give every thread a task; claiming a task costs little beside a row.
CHUNK = 2  # rows a task, where rows are computed one by one
NOTHING, GELU, RESIDUAL = range(3)  # what follows a product and its bias

multiply = tile(KIND.product)
configure, release = tile_registers(KIND.product)


@jit
def configured_for(m, before):
    """Prepares the CPU for products of m rows, unless it is already: gives m."""
    if m != before:
        configure(m)
    return m


@jit
def panels_a_task(job, weights):
    """With few tokens, several: a long run of weights is read faster. But each thread gets two
    tasks at least, so that all end together."""
    # With many tokens the products take the time, and small tasks balance best.
    if job.tokens > 4 * ROWS:
        return 1
    # A word is 4 bytes, however many numbers it holds. Kernels count in words, so one loop serves
    # all precisions.
    bytes_a_panel = weights.width // A_WORD * PANEL * 4
    panels = parts(weights.out_width, PANEL)
    return max(1, min(STRETCH // bytes_a_panel, panels // (2 * job.threads)))


@jit
def linear_tasks(job, x, weights, out, then):
    """How many tasks `linear` has: groups of panels times blocks of rows."""
    # Both factors rounded up: a part of a panel or of a block is a task too.
    groups = parts(parts(weights.out_width, PANEL), panels_a_task(job, weights))
    return groups * parts(job.tokens, ROWS_A_TASK)


@jit
def epilogue(job, weights, sums, m, top, column, out, then):
    """A tile of m rows of `sums` -> numbers: scales if they are integers, bias, GELU or residual.

    `top` and `column` are where the tile stands in `out`.
    """
    # Fields are read here, once: LLVM cannot know that no store below changes them.
    bias, scales, offsets = weights.bias, weights.scales, weights.offsets
    missing = weights.missing
    width, row_scales = min(PANEL, weights.out_width - column), job.row_scales
    for r in range(m):
        row, residual = row_of(out, top + r), row_of(job.x, top + r)
        parameters = row_scales + (top + r) * 8
        for c in range(0, width, LANES):
            i, j = r * PANEL + c, column + c
            y = to_numbers(sums, i, parameters, bias, scales, offsets, missing, j)
            # `then` is a constant of the compiled code: only one branch remains
            if then == GELU:
                y = gelu(y)
            if then == RESIDUAL:
                y = y + load_f(residual, column + c)
            store(row, column + c, y)


@jit
def row_tasks(job, *args):
    return parts(job.tokens, CHUNK)


@jit
def rows_of(job, task):
    """The rows of one task, as a range."""
    return range(task * CHUNK, min((task + 1) * CHUNK, job.tokens))


@jit
def copy_row(row, out, width):
    for i in range(0, width, LANES):
        store(out, i, load_f(row, i))


@jit
def normalize_row(job, me, norm, r):
    """Row r of `sums`, normalised -> row r of `x`, and of the integers that the products read."""
    # `D_width` is padded with zeros; the mean is over the real D.
    out, width = row_of(job.x, r), job.D_width
    kernels.layer_norm(row_of(job.sums, r), out, width, job.D, norm.scale, norm.shift, job.eps)
    if QUANTIZES:
        # at once, while the row is in the cache; the next product reads integers only
        quantize_row(job, me, out, norm.signs, job.quantize_D, r)
