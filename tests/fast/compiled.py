"""The kernels as functions over numpy arrays: numba compiles them here, for this machine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.fast import integers, job, kernels
from engine.fast.codegen.constants import LANES, TARGET
from engine.fast.codegen.records import view
from engine.fast.codegen.simd import load_f, store
from engine.fast.kernels import jit

Floats = NDArray[np.float32]
long_at = view(np.dtype([("value", np.int64)]))


@jit
def load_long(address, i):  # type: ignore[no-untyped-def]
    """The int64 at element i, of 8 bytes."""
    return long_at(address + 8 * i).value


@jit
def _each_exp(x, out, n):  # type: ignore[no-untyped-def]
    for i in range(0, n, LANES):
        store(out, i, kernels.exp(load_f(x, i)))


@jit
def _each_gelu(x, out, n):  # type: ignore[no-untyped-def]
    for i in range(0, n, LANES):
        store(out, i, kernels.gelu(load_f(x, i)))


@jit
def _each_gelu8(x, out, n):  # type: ignore[no-untyped-def]
    for i in range(0, n, LANES):
        store(out, i, integers.gelu8(load_f(x, i)))


@jit
def _layer_norm(row, out, width, real_width, scale, shift, eps):  # type: ignore[no-untyped-def]
    kernels.layer_norm(row, out, width, real_width, scale, shift, np.float32(eps))


@jit
def _softmax(row, length, width, factor):  # type: ignore[no-untyped-def]
    kernels.softmax(row, length, width, np.float32(factor))


@jit
def _quantize_int16(row, out, width, norm_limit):  # type: ignore[no-untyped-def]
    return integers.quantize_int16(row, out, width, norm_limit)


def address(array: NDArray[Any]) -> int:
    return int(array.ctypes.data)


def whole(size: int) -> int:
    """A width of whole vectors."""
    return -(-size // LANES) * LANES


def padded(row: NDArray[Any]) -> Floats:
    """One row with zeros behind, as the kernels want it."""
    out = np.zeros(whole(len(row)), np.float32)
    out[: len(row)] = row
    return out


def _each(function: Any, x: NDArray[Any]) -> Floats:
    row = padded(x)
    out = np.empty_like(row)
    function(address(row), address(out), len(row))
    return out[: len(x)]


def exp(x: NDArray[Any]) -> Floats:
    return _each(_each_exp, x)


def gelu(x: NDArray[Any]) -> Floats:
    return _each(_each_gelu, x)


def gelu8(x: NDArray[Any]) -> Floats:
    return _each(_each_gelu8, x)


def layer_norm(x: Floats, scale: Floats, shift: Floats, eps: float = 1e-12) -> Floats:
    row, out = padded(x), np.full(whole(len(x)), np.nan, np.float32)
    weights = padded(scale), padded(shift)
    _layer_norm(address(row), address(out), len(row), len(x), *map(address, weights), eps)
    assert not out[len(x) :].any()
    return out[: len(x)]


def softmax(x: Floats, factor: float, width: int) -> Floats:
    row = np.full(width, np.nan, np.float32)  # what follows is whatever a tile left there
    row[: len(x)] = x
    _softmax(address(row), len(x), width, factor)
    assert not row[len(x) :].any()
    return row[: len(x)]


def rotate(x: Floats, signs: Floats, block: int) -> Floats:
    row, signs = padded(x), padded(signs)
    out = np.empty_like(row)
    integers.rotate(address(row), address(signs), address(out), len(row), block)
    return out[: len(x)]


def quantize_int16(x: Floats, norm_limit: float) -> tuple[NDArray[np.int16], float]:
    row = padded(x)
    out = np.empty(len(row), np.int16)
    scale = _quantize_int16(address(row), address(out), len(row), int(norm_limit))
    assert not out[len(x) :].any()
    return out[: len(x)], float(scale)


def quantize_int8(x: Floats) -> tuple[NDArray[np.uint8], float, float]:
    """Integers, scale and low."""
    row = padded(x)
    out, parameters = np.empty(len(row), np.uint8), np.empty(2, np.float32)
    integers.quantize_int8(address(row), address(out), len(row), address(parameters))
    return out + np.uint8(TARGET.offset), float(parameters[0]), float(parameters[1])


def attention(
    q: Floats, k: Floats, v: Floats, stride: int, queries: int | None = None, kind: Any = kernels
) -> Floats:
    """One head: rows of K numbers, `stride` apart in one table of queries, keys and values.

    `kind` is the module that has `attention_head`. The first `queries` rows are computed, or all.
    """
    length, K = q.shape
    table = np.full((length + 1, stride), np.nan, np.float32)
    table[length:] = 0
    for n, part in enumerate((q, k, v)):
        table[:length, n * K : (n + 1) * K] = part
    table[:, 3 * K :] = 0
    before = table.copy()
    numbers = 1 if kind is kernels else 2
    *_, needed = job.head_scratch(length, K, kind.ROWS, kind.PANEL, numbers)
    scratch = np.full(needed + 64, 7, np.float32)
    places = (address(table) + 4 * n * K for n in range(3))
    query, key, value = places
    queries = length if queries is None else queries
    kind.attention_head(
        query, queries, key, value, stride, length, K, query, stride, address(scratch)
    )
    assert (scratch[needed:] == 7).all(), "wrote behind its scratch memory"
    assert np.array_equal(table[:, K:], before[:, K:], equal_nan=True), (
        "wrote beside its own columns"
    )
    assert np.array_equal(table[queries:], before[queries:], equal_nan=True)
    return table[:length, :K]
