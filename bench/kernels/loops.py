"""Kernels of engine/fast/ over all rows of an array; numba compiles them for the machine at hand.

Arrays come as addresses; their rows lie side by side and have whole vectors.
"""

from functools import cache
from typing import Any

from numba import float32

from engine.fast import integer_attention, integers, kernels
from engine.fast.codegen.constants import LANES, TARGET
from engine.fast.codegen.micro_kernel import tile, tile_registers
from engine.fast.codegen.simd import load_f, store
from engine.fast.kernels import jit

# mypy does not see through numba's decorator
# mypy: disable-error-code="no-untyped-def,untyped-decorator"


@cache
def product(precision: str) -> Any:
    """(rows, words) times panels of (words, width) -> (rows, width), sums as they are."""
    multiply, high, wide = tile(precision), TARGET.tiles[precision][0], TARGET.panel(precision)
    configure, release = tile_registers(precision)

    @jit
    def walk(a, panels, words, rows, width, out):
        for column in range(0, width, wide):
            panel = panels + column * words * 4
            for r in range(0, rows, high):
                m, target = min(high, rows - r), out + (r * width + column) * 4
                configure(m)
                multiply(m, a + r * words * 4, words, panel, words, target, width)
        release()

    return walk


def heads_by(attention_head):
    """All heads of one text, side by side in the rows of a table."""

    @jit
    def heads(table, stride, count, length, K, out, scratch):
        width = count * K
        for head in range(count):
            query = table + head * K * 4
            key, value = query + width * 4, query + 2 * width * 4
            target = out + head * K * 4
            attention_head(query, length, key, value, stride, length, K, target, width, scratch)

    return heads


heads = heads_by(kernels.attention_head)
heads_in_16_bits = heads_by(integer_attention.attention_head)


@jit
def norms(x, rows, width, scale, shift, out):
    for r in range(rows):
        at = r * width * 4
        kernels.layer_norm(x + at, out + at, width, width, scale, shift, float32(1e-12))


@jit
def gelus(x, size, out):
    for i in range(0, size, LANES):
        store(out, i, kernels.gelu(load_f(x, i)))


@jit
def epilogues(sums, rows, width, parameters, scales, offsets, missing, bias, out):
    """Sums of int8 products -> numbers, bias and GELU; as `engine.fast.layers.epilogue` does."""
    for r in range(rows):
        for c in range(0, width, LANES):
            at, row = r * width + c, parameters + r * 8
            y = integers.int8_numbers(sums, at, row, bias, scales, offsets, missing, c)
            store(out, at, integers.gelu8(y))


@jit
def rotations(x, rows, width, signs, block, out):
    for r in range(rows):
        integers.rotate(x + r * width * 4, signs, out + r * width * 4, width, block)


@jit
def integers16(x, rows, width, limit, scales, out):
    for r in range(rows):
        scale = integers.quantize_int16(x + r * width * 4, out + r * width * 2, width, limit)
        store(scales, r, scale)


@jit
def integers8(x, rows, width, parameters, out):
    for r in range(rows):
        integers.quantize_int8(x + r * width * 4, out + r * width, width, parameters + r * 8)
