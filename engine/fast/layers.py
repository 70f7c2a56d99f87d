"""What surrounds a product of whole rows, x Wᵀ + b.

Before it, rows become integers where products are quantised. After it, while the sums are in the
cache: integers become numbers again, then the bias, GELU or the residual.
"""

from engine.fast.codegen.constants import LANES, PRECISION, TARGET
from engine.fast.codegen.micro_kernel import tile
from engine.fast.codegen.simd import fma, load_f, load_float, load_i, splat, store, to_float
from engine.fast.codegen.target import NUMBERS_A_WORD
from engine.fast.integers import quantize_int8, quantize_int16, rotate
from engine.fast.kernels import gelu, jit, parts

ROWS, PANEL = TARGET.tiles[PRECISION][0], TARGET.panel(PRECISION)
# Enough that a panel of weights, read once a task, is used for many rows; few enough that there are
# tasks for all threads.
ROWS_A_TASK = 16 * ROWS
STRETCH = 300_000  # bytes of weights that a task reads, at most, where there are few tokens
A_WORD = NUMBERS_A_WORD[PRECISION]
QUANTIZES, SHORT = PRECISION != "float32", PRECISION == "int16"
NOTHING, GELU, RESIDUAL = range(3)  # what follows a product and its bias

multiply = tile(PRECISION)


@jit
def row_of(rows, r):
    """The address of row r."""
    return rows.address + r * rows.stride * 4


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
    width, row_scales = min(PANEL, weights.out_width - column), job.row_scales
    for r in range(m):
        row, residual = row_of(out, top + r), row_of(job.x, top + r)
        parameters = row_scales + (top + r) * 8
        for c in range(0, width, LANES):
            # QUANTIZES and `then` are constants of the compiled code: only one branch remains.
            if QUANTIZES:
                y = unquantized(sums, r * PANEL + c, parameters, scales, offsets, column + c)
            else:
                y = load_f(sums, r * PANEL + c)
            y = y + load_f(bias, column + c)
            if then == GELU:
                y = gelu(y)
            if then == RESIDUAL:
                y = y + load_f(residual, column + c)
            store(row, column + c, y)


@jit
def unquantized(sums, i, parameters, scales, offsets, column):
    """Σ (low + scale a) (column's scale) w: the sums of a w, and an offset that is known before.

    `parameters` holds the scale and low of the row.
    """
    y = to_float(load_i(sums, i)) * splat(load_float(parameters, 0))
    y = y * load_f(scales, column)
    if SHORT:  # a is signed, so there is no low
        return y
    return fma(splat(load_float(parameters, 1)), load_f(offsets, column), y)


@jit
def quantize_row(job, me, row, quantizer, r):
    """The numbers at `row` -> row r of `integers` and of `row_scales`."""
    out, parameters = row_of(job.integers, r), job.row_scales + r * 8
    if SHORT:
        # no rotation: 16 bits hold outliers and the rest
        scale = quantize_int16(row, out, quantizer.width, quantizer.norm_limit)
        store(parameters, 0, scale)
    else:
        # rotated into scratch memory, so that the float32 row stays: the residual needs it
        rotate(row, job.signs, me.scratch, quantizer.width, quantizer.block)
        quantize_int8(me.scratch, out, quantizer.width, parameters)
