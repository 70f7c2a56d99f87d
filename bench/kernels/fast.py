"""The rungs of engine/fast/: its kernels, run over whole arrays by one thread.

numba is imported when the first rung is prepared, not before: `bench.ladder` first tells it the CPU
for which the engine compiles.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.kernels.problems import BLOCK, LENGTH, Array, Call, Inputs

if TYPE_CHECKING:
    from types import ModuleType


def loops() -> "ModuleType":
    from bench.kernels import loops

    return loops


def address(array: Array) -> int:
    return int(array.ctypes.data)


def returning(out: Array, function: Any, *arguments: Any) -> Call:
    """A call that runs the function and gives what it wrote to `out`. Arrays pass as addresses."""
    kept = arguments  # as long as the call lives
    plain = [address(one) if isinstance(one, np.ndarray) else one for one in arguments]

    def call() -> Array:
        assert kept
        function(*plain)
        return out

    return call


def by_tile(precision: str) -> Callable[[Inputs], Call]:
    """Every tile of the product, panel after panel, as `engine.fast.encoder.linear` walks."""

    def prepare(inputs: Inputs) -> Call:
        from engine.fast.codegen.constants import TARGET
        from engine.fast.weights.packing import Shape, panels, round_up

        a, b = inputs["a"], inputs["b"]
        (rows, inner), columns = a.shape, b.shape[1]
        shape = Shape(TARGET, precision)
        width = round_up(columns, shape.panel)
        w_OI = np.zeros((width, inner), b.dtype)
        w_OI[:columns] = b.T
        if precision == "int8" and TARGET.offset:
            a = (a.astype(np.int16) - TARGET.offset).astype(np.int8)
        if precision == "int8" and TARGET.pairs_rows:  # eight bytes of two rows by turns
            a = a.reshape(rows // 2, 2, inner // 8, 8).transpose(0, 2, 1, 3)
            a = np.ascontiguousarray(a)
        words = inner // shape.kind.numbers_a_word
        out = np.empty((rows, width), np.float32 if precision == "float32" else np.int32)
        call = returning(
            out[:, :columns],
            loops().product(precision),
            *(a, panels(w_OI, shape), words, rows, width, out),
        )
        if precision != "int8" or not TARGET.offset:
            return call
        # what is subtracted from an activation, the engine adds again with the sums
        missing = TARGET.offset * b.sum(axis=0, dtype=np.int32)
        return lambda: call() + missing

    return prepare


by_float32, by_int16, by_int8 = by_tile("float32"), by_tile("int16"), by_tile("int8")


def by_attention(inputs: Inputs, name: str, numbers: int) -> Call:
    """Queries, keys and values side by side in rows, as the engine has them."""
    from engine.fast import kernels
    from engine.fast.job import SPARE, head_scratch

    heads, length, K = inputs["q"].shape
    parts = [inputs[name].transpose(1, 0, 2).reshape(length, heads * K) for name in "qkv"]
    table = np.zeros((length + 1, 3 * heads * K + SPARE), np.float32)
    table[:length, : 3 * heads * K] = np.concatenate(parts, axis=1)
    out = np.empty((length, heads * K), np.float32)
    *_, size = head_scratch(length, K, kernels.ROWS, kernels.PANEL, numbers)
    result = out.reshape(length, heads, K).transpose(1, 0, 2)
    arguments = (table, table.shape[1], heads, length, K, out, np.empty(size, np.float32))
    return returning(result, getattr(loops(), name), *arguments)


def by_attention_head(inputs: Inputs) -> Call:
    return by_attention(inputs, "heads", 1)


def by_integer_attention_head(inputs: Inputs) -> Call:
    return by_attention(inputs, "heads_in_16_bits", 2)


def by_layer_norm(inputs: Inputs) -> Call:
    x, out = inputs["x"], np.empty_like(inputs["x"])
    return returning(out, loops().norms, x, *x.shape, inputs["scale"], inputs["shift"], out)


def by_gelu(inputs: Inputs) -> Call:
    x, out = inputs["x"], np.empty_like(inputs["x"])
    return returning(out, loops().gelus, x, x.size, out)


def by_epilogue(inputs: Inputs) -> Call:
    sums = inputs["sums"]
    out = np.empty(sums.shape, np.float32)
    rows, scales, offsets, bias = (inputs[name] for name in ("rows", "scales", "offsets", "bias"))
    missing = np.zeros(sums.shape[1], np.int32)  # these sums are whole on every CPU
    arrays = rows, scales, offsets, missing, bias
    return returning(out, loops().epilogues, sums, *sums.shape, *arrays, out)


def by_rotate(inputs: Inputs) -> Call:
    x, out = inputs["x"], np.empty_like(inputs["x"])
    signs = np.ones(x.shape[1], np.float32)
    return returning(out, loops().rotations, x, *x.shape, signs, BLOCK, out)


def by_quantize_int16(inputs: Inputs) -> Call:
    x = inputs["x"]
    out, scales = np.empty(x.shape, np.int16), np.empty(len(x), np.float32)
    return returning(out, loops().integers16, x, *x.shape, LENGTH, scales, out)


def by_quantize_int8(inputs: Inputs) -> Call:
    x = inputs["x"]
    out, parameters = np.empty(x.shape, np.uint8), np.empty((len(x), 2), np.float32)
    return returning(out, loops().integers8, x, *x.shape, parameters, out)
