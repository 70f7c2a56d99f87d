"""Matrix products of whole rows: x Wᵀ + b for some columns and rows, with what comes before and
after.

Before: rows to integers, where products are quantised. After, while the results are at hand:
integers back to numbers, the bias, GELU or the residual.
"""

from engine.fast import job as at
from engine.fast.codegen.constants import LANES, PRECISION, TARGET
from engine.fast.codegen.micro_kernel import tile
from engine.fast.codegen.simd import (
    fma,
    load_f,
    load_float,
    load_i,
    load_long,
    splat,
    store,
    to_float,
)
from engine.fast.codegen.target import NUMBERS_A_WORD
from engine.fast.integers import quantize_int8, quantize_int16, rotate
from engine.fast.kernels import gelu, jit

ROWS, PANEL = TARGET.tiles[PRECISION][0], TARGET.panel(PRECISION)
ROWS_A_TASK = 16 * ROWS
STRETCH = 300_000  # bytes of weights
A_WORD = NUMBERS_A_WORD[PRECISION]
QUANTIZES, SHORT = PRECISION != "float32", PRECISION == "int16"
NOTHING, GELU, RESIDUAL = range(3)  # what follows a product and its bias

multiply = tile(PRECISION)


@jit
def panels_a_task(job, steps, panels):
    """With few tokens several, for long stretches of memory are read faster; but every thread that
    may come gets two tasks, so that all end together."""
    if load_long(job, at.TOKENS) > 4 * ROWS:
        return 1
    return max(1, min(STRETCH // (steps * PANEL * 4), panels // (2 * load_long(job, at.THREADS))))


@jit
def linear_tasks(job, width, out_width):
    """How many tasks `linear` has for a map of these widths."""
    tokens, panels = load_long(job, at.TOKENS), (out_width + PANEL - 1) // PANEL
    group = panels_a_task(job, width // A_WORD, panels)
    return (panels + group - 1) // group * ((tokens + ROWS_A_TASK - 1) // ROWS_A_TASK)


@jit
def linear(job, scratch, linear_map, source, stride, width, out, out_stride, out_width, then, task):
    """x Wᵀ + b for some panels of columns and some rows, and what follows while at hand."""
    tokens, steps = load_long(job, at.TOKENS), width // A_WORD
    blocks, panels = (tokens + ROWS_A_TASK - 1) // ROWS_A_TASK, (out_width + PANEL - 1) // PANEL
    group = panels_a_task(job, steps, panels)
    left, top = (task // blocks) * group * PANEL, (task % blocks) * ROWS_A_TASK
    bottom = min(top + ROWS_A_TASK, tokens)
    for column in range(left, min(left + group * PANEL, out_width), PANEL):
        panel = load_long(linear_map, at.PANELS) + column * steps * 4
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
        rotate(row, load_long(job, at.SIGNS), scratch, width, block)
        quantize_int8(scratch, out, width, parameters)
