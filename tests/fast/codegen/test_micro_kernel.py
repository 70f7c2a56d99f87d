"""Products of whole tiles: every number of rows, integers exactly, float32 bit by bit.

What other CPUs do in one instruction is done here in the arithmetic that says what it means.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from llvmlite import ir
from numpy.typing import NDArray

from engine.fast.codegen import micro_kernel
from engine.fast.codegen.constants import REGISTER, TARGET
from engine.fast.codegen.dot_products import (
    I32,
    QUADS,
    Float32,
    Int8Plain,
    Int8Sdot,
    Int8Wide,
    Int16Wide,
    pair_sums,
    swapped,
)
from engine.fast.codegen.dot_products import KINDS as STEPS
from engine.fast.kernels import jit
from tests.fast.compiled import address
from tests.fast.rounding import multiply_add

Array = NDArray[Any]
Tile = Callable[..., Array]


class ByLane(Float32):
    turn = 4


class Int8ByLane(Int8Plain):
    turn = 4


class Int8ByPair(Int8Plain):
    """The arithmetic of smmla, on vectors of four sums."""

    rows = 2

    @staticmethod
    def step(b: Any, sums: Any, words: Any, x: Any) -> Any:
        # Eight bytes of a row, each row twice; of a column, the two columns by turns.
        row = ir.Constant(ir.VectorType(I32, 32), [8 * (i // 16) + i % 8 for i in range(32)])
        column = ir.Constant(row.type, [i % 16 for i in range(32)])
        a, w = b.bitcast(x, QUADS), b.bitcast(words, QUADS)
        a, w = b.shuffle_vector(a, a, row), b.shuffle_vector(w, w, column)
        total = b.mul(b.zext(a, row.type), b.sext(w, row.type))
        for _ in range(3):
            total = pair_sums(b, total)
        return b.add(sums, total)


PLAIN = {
    "float32 by lane": ByLane,
    "int8 by lane": Int8ByLane,
    "plain int8": Int8Plain,
    "wide int8": Int8Wide,
    "wide int16": Int16Wide,
    "swapped int8": swapped(Int8Plain),
}
if REGISTER == 4:  # sse2, on an x86 CPU
    PLAIN["int8 by pair"] = Int8ByPair
SHAPES = {
    **TARGET.tiles,
    "int8 by pair": (6, 4),
    "float32 by lane": (6, 2),
    "int8 by lane": (3, 2),
    "plain int8": (5, 2),
    "wide int8": (3, 2),
    "wide int16": (4, 2),
    "swapped int8": (5, 2),
}
KINDS = {**{name: STEPS[name] for name in TARGET.tiles}, **PLAIN}
# Words that one step of the loop takes, where it is not one: K has whole steps.
STEP = {"int8": 16} if TARGET.int8 == "amx" else {}
LEVELS = 255
FLOATS = ("float32", "attention", "float32 by lane")
INT16 = ("int16", "attention_int16", "wide int16")
EXTREMES = np.array([-32767, 32767], np.int16)
INT8 = tuple(
    name
    for name in ("int8", "plain int8", "wide int8", "int8 by lane", "int8 by pair")
    if name in KINDS
)
PAIRED = [name for name in INT8 if KINDS[name].rows == 2]
STEP |= dict.fromkeys(PAIRED, 2)
SWAPPED = [name for name in ("attention_int8", "swapped int8") if name in KINDS]


@pytest.fixture(scope="module")
def tiles() -> Iterator[dict[str, Tile]]:
    """(A, B) -> the product for each kind, the rows of A at most those of a tile."""
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in PLAIN.items():
            patch.setitem(STEPS, name, kind)
            patch.setitem(TARGET.tiles, name, SHAPES[name])  # type: ignore[arg-type]
        yield {name: product(name) for name in KINDS}


def product(name: str) -> Tile:
    multiply, (configure, release) = micro_kernel.tile(name), micro_kernel.tile_registers(name)

    @jit  # type: ignore[untyped-decorator]
    def call(m, a, lda, panel, steps, out, ldo):  # type: ignore[no-untyped-def]
        configure(m)
        multiply(m, a, lda, panel, steps, out, ldo)
        release()

    def multiplied(a: Array, b: Array) -> Array:
        """a (m, K) and b (K, columns), rows `spare` words apart; K whole words."""
        (m, K), columns, spare = a.shape, b.shape[1], 3
        a_word = 4 // a.itemsize
        steps = K // a_word
        rows = np.full((m + m % 2, K + spare * a_word), 99, a.dtype)
        rows[:m, :K] = a
        if name in PAIRED:
            rows, a_word = in_pairs(rows, K), 8
        panel = np.ascontiguousarray(b.reshape(K // a_word, a_word, columns).transpose(0, 2, 1))
        out = np.full((SHAPES[name][0] + 1, columns + spare), 77, result(name))
        call(m, address(rows), steps + spare, address(panel), steps, address(out), columns + spare)
        assert (out[m:] == 77).all() and (out[:, columns:] == 77).all(), "wrote outside its tile"
        return out[:m, :columns].copy()

    return multiplied


def in_pairs(rows: Array, K: int) -> Array:
    """The first K bytes of every two rows by turns, eight of each, in the memory of both."""
    pairs = rows.reshape(len(rows) // 2, -1).copy()
    words = rows[:, :K].reshape(len(pairs), 2, K // 8, 8)
    pairs[:, : 2 * K] = words.transpose(0, 2, 1, 3).reshape(len(pairs), -1)
    return pairs


def result(name: str) -> type:
    return np.float32 if name in FLOATS else np.int32


def columns(name: str) -> int:
    return SHAPES[name][1] * REGISTER


def turns(name: str) -> list[int]:
    """Words along K, whole turns of the loop or not."""
    return [n * STEP.get(name, 1) for n in (*range(1, 10), 33)]


def exact(a: Array, b: Array) -> Array:
    """int64, and then the low 32 bits, as sums in int32 leave them."""
    return (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)


def fused(a: Array, b: Array) -> Array:
    """Σ a b in float32 along K, one step after the other."""
    sums = np.zeros((len(a), b.shape[1]), np.float32)
    for k in range(a.shape[1]):
        sums = multiply_add(a[:, k, None], b[None, k], sums)
    return sums


@pytest.mark.parametrize("name", FLOATS)
def test_float32_is_one_chain_of_fused_steps(name: str, tiles: dict[str, Tile]) -> None:
    draw = np.random.default_rng(1)
    for K in turns(name):
        b = draw.standard_normal((K, columns(name)), np.float32)
        for m in range(1, SHAPES[name][0] + 1):
            a = draw.standard_normal((m, K), np.float32) * 10.0 ** draw.integers(-3, 4, (m, K))
            a = a.astype(np.float32)
            assert np.array_equal(tiles[name](a, b), fused(a, b))


@pytest.mark.parametrize("name", FLOATS)
def test_float32_extremes(name: str, tiles: dict[str, Tile]) -> None:
    numbers = np.array([0.0, -0.0, 1e-45, -1e-38, 1.0, -1e19, 1e19, 3e38], np.float32)
    a = numbers[None].repeat(SHAPES[name][0], 0)
    for y in (0.0, 1e-45, 1.0, -1.0):
        b = np.full((len(numbers), columns(name)), y, np.float32)
        assert np.array_equal(tiles[name](a, b), fused(a, b))


@pytest.mark.parametrize("name", KINDS)
def test_a_row_is_the_same_beside_any_others(name: str, tiles: dict[str, Tile]) -> None:
    draw = np.random.default_rng(2)
    kind = np.float32 if name in FLOATS else np.int16 if name in INT16 else np.uint8
    K = 32 * 4 // np.dtype(kind).itemsize
    a = (draw.standard_normal((SHAPES[name][0], K)) * 40).clip(0 if name in INT8 else -99, 99)
    b = (draw.standard_normal((K, columns(name))) * 10).clip(-60, 60)
    a, b = a.astype(kind), b.astype(np.int8 if name in INT8 else kind)
    together = tiles[name](a, b)
    for m in range(1, len(a) + 1):
        for first in range(len(a) - m + 1):
            some = tiles[name](a[first : first + m], b)
            assert some.tobytes() == together[first : first + m].tobytes()


@pytest.mark.parametrize("name", INT16)
def test_int16_is_exact(name: str, tiles: dict[str, Tile]) -> None:
    """Extremes and anything between; a sum over 32 bits would keep the low ones, as it should."""
    draw = np.random.default_rng(3)
    for steps in turns(name):
        shape_b = (2 * steps, columns(name))
        for m in range(1, SHAPES[name][0] + 1):
            for low in (32766, 0, -32767):
                a = draw.integers(low, 32768, (m, 2 * steps)).astype(np.int16)
                b = draw.integers(low, 32768, shape_b).astype(np.int16)
                assert np.array_equal(tiles[name](a, b), exact(a, b))
            a = draw.choice(EXTREMES, (m, 2 * steps))
            b = draw.choice(EXTREMES, shape_b)
            assert np.array_equal(tiles[name](a, b), exact(a, b))


@pytest.mark.parametrize("name", INT8)
def test_int8_is_exact(name: str, tiles: dict[str, Tile]) -> None:
    draw = np.random.default_rng(4)
    for steps in turns(name):
        for m in range(1, SHAPES[name][0] + 1):
            a = draw.integers(0, LEVELS + 1, (m, 4 * steps))
            b = draw.integers(-most(name), most(name) + 1, (4 * steps, columns(name)))
            hold_exact(tiles[name], name, a, b)


@pytest.mark.parametrize("name", INT8)
@pytest.mark.parametrize("sign", [-1, 1])
def test_int8_at_its_extremes(name: str, sign: int, tiles: dict[str, Tile]) -> None:
    """All activations and all weights as large as can be, in the longest sum that BERT has."""
    a = np.full((SHAPES[name][0], 4096), LEVELS)
    b = np.full((4096, columns(name)), sign * most(name))
    hold_exact(tiles[name], name, a, b)
    b[::2] *= -1
    hold_exact(tiles[name], name, a, b)


@pytest.mark.parametrize("name", SWAPPED)
def test_signed_rows_times_a_panel_without_sign_are_exact(
    name: str, tiles: dict[str, Tile]
) -> None:
    draw = np.random.default_rng(5)
    offset = 128 if issubclass(KINDS[name], Int8Sdot) else 0
    for steps in turns(name):
        for m in range(1, SHAPES[name][0] + 1):
            a = draw.integers(-127, 128, (m, 4 * steps))
            a[0] = 127
            b = draw.integers(0, LEVELS + 1, (4 * steps, columns(name)))
            panel = (b - offset).astype(np.int8 if offset else np.uint8)
            got = tiles[name](a.astype(np.int8), panel)
            assert np.array_equal(got, exact(a, b - offset))


def hold_exact(tile: Tile, name: str, a: Array, b: Array) -> None:
    signed = 128 if KINDS[name] is Int8Sdot else 0
    rows = (a - signed).astype(np.int8 if signed else np.uint8)
    assert np.array_equal(tile(rows, b.astype(np.int8)), exact(a - signed, b))


def most(name: str) -> int:
    """Of weights. With pairs in 16 bits the two of a pair may have 128 together."""
    return 64 if name == "int8" and TARGET.int8 == "pairs" else 127
