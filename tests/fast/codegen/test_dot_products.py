"""One step of a product: sums + a word times words, for numbers of each kind.

Each step is called once with chosen sums and words, every lane a case of its own. Steps of other
CPUs are here as far as this one can run them; `test_fast_target` runs this file for each kind.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from llvmlite import ir
from numpy.typing import NDArray

from engine.fast.codegen import dot_products
from engine.fast.codegen.constants import REGISTER
from engine.fast.codegen.numba_vectors import int64, splat_value, teach, void
from engine.fast.kernels import jit
from tests.fast.compiled import address
from tests.fast.rounding import multiply_add

Array = NDArray[Any]

FLOATS = {"float32": dot_products.KINDS["float32"], "attention": dot_products.KINDS["attention"]}
INT16 = {
    "int16": dot_products.KINDS["int16"],
    "pairs": dot_products.Int16,
    "wide": dot_products.Int16Wide,
}
INT8 = {
    "int8": dot_products.KINDS["int8"],
    "plain": dot_products.Int8Plain,
    "wide": dot_products.Int8Wide,
}
each_float = pytest.mark.parametrize("kind", FLOATS.values(), ids=FLOATS)
each_int16 = pytest.mark.parametrize("kind", INT16.values(), ids=INT16)
each_int8 = pytest.mark.parametrize("kind", INT8.values(), ids=INT8)
DRAWS = 50


@cache
def compiled(kind: Any) -> Callable[[int, int, int, int], None]:
    """once(sums, words, x, out): addresses of vectors, but x of one word."""

    def once(sums, words, x, out):  # type: ignore[no-untyped-def]
        raise NotImplementedError("compiled code only")

    def emit(b, sums, words, x, out):  # type: ignore[no-untyped-def]
        def at(address, type):  # type: ignore[no-untyped-def]
            return b.inttoptr(address, type.as_pointer())

        vector = ir.VectorType(kind.sum.element, REGISTER)
        splat = splat_value(b, b.load(at(x, vector.element), align=4), REGISTER)
        sum, word = b.load(at(sums, kind.sum), align=4), b.load(at(words, vector), align=4)
        return b.store(kind.step(b, sum, word, splat), at(out, kind.sum), align=4)

    teach(once, (void, *[int64] * 4, emit))

    @jit  # type: ignore[untyped-decorator]
    def call(sums, words, x, out):  # type: ignore[no-untyped-def]
        once(sums, words, x, out)

    return call  # type: ignore[no-any-return]


def step(kind: Any, sums: Array, words: Array, x: Array) -> Array:
    """`sums` (REGISTER,), `words` (REGISTER, numbers of a word), `x` (numbers of a word): new sums.

    Where two int32 make one sum, that sum is cut in two unequal parts first.
    """
    parts = kind.sum.count // REGISTER
    start = np.zeros((REGISTER, parts), sums.dtype)
    start[:, -1] = 1000 if parts > 1 else 0
    start[:, 0] = sums - start[:, 1:].sum(axis=1, dtype=sums.dtype)
    out = np.empty_like(start)
    compiled(kind)(*(address(array) for array in (start, words, x, out)))
    return out[:, 0] if parts == 1 else out.sum(axis=1, dtype=np.int32)


@pytest.mark.parametrize("kind", {**FLOATS, **INT16, **INT8}.values())
def test_a_turn_of_the_loop_divides_every_padded_width(kind: Any) -> None:
    """Rows are padded to 16 numbers: in int8 those are four words."""
    assert 4 % kind.turn == 0 and kind.sum.count % REGISTER == 0


# float32


@each_float
def test_float32_adds_a_product(kind: Any) -> None:
    draw = np.random.default_rng(1)
    for _ in range(DRAWS):
        words, x = (
            draw.standard_normal((REGISTER, 1), np.float32),
            draw.standard_normal(1, np.float32),
        )
        sums = (-words[:, 0] * x * draw.choice([0, 1, 1000], REGISTER)).astype(np.float32)
        got = step(kind, sums, words, x)
        assert np.array_equal(got, multiply_add(x, words[:, 0], sums))


@each_float
def test_float32_extremes(kind: Any) -> None:
    numbers = np.array([0.0, -0.0, 1e-45, -1e-38, 1.0, -1e19, 1e19, 3e38], np.float32)
    words = np.resize(numbers, (REGISTER, 1))
    for x in numbers[:-1, None]:
        for sums in np.repeat(numbers[:-1, None], REGISTER, axis=1):
            got = step(kind, sums, words, x)
            with np.errstate(over="ignore"):
                assert np.array_equal(got, multiply_add(x, words[:, 0], sums))


# integers: exact; the low 32 bits where a sum has more


def hold_exact(kind: Any, sums: Array, words: Array, x: Array) -> None:
    offset = 128 if kind is dot_products.Int8Sdot else 0
    x = (x.astype(np.int64) - offset).astype(np.int8 if offset else x.dtype)
    expected = (sums + words.astype(np.int64) @ x.astype(np.int64)).astype(np.int32)
    assert np.array_equal(step(kind, sums.astype(np.int32), words, x), expected)


@each_int16
def test_int16_adds_two_products(kind: Any) -> None:
    draw = np.random.default_rng(2)
    for _ in range(DRAWS):
        words = draw.integers(-32767, 32768, (REGISTER, 2)).astype(np.int16)
        x = draw.integers(-32767, 32768, 2).astype(np.int16)
        hold_exact(kind, draw.integers(-(2**30), 2**30, REGISTER), words, x)


@each_int16
def test_each_place_of_an_int16_word(kind: Any) -> None:
    """Place by place: number i of the word times number i, and no other."""
    words = np.arange(1, 2 * REGISTER + 1, dtype=np.int16).reshape(REGISTER, 2)
    for x in np.eye(2, dtype=np.int16):
        hold_exact(kind, np.arange(REGISTER), words, x)


@each_int16
@pytest.mark.parametrize("first", [-32767, 32767])
@pytest.mark.parametrize("second", [-32767, 32767])
def test_int16_extremes(kind: Any, first: int, second: int) -> None:
    """Two products of 2^30 each: the largest sum still fits 32 bits."""
    words = np.full((REGISTER, 2), 32767, np.int16)
    hold_exact(kind, np.zeros(REGISTER, int), words, np.array([first, second], np.int16))
    hold_exact(kind, np.full(REGISTER, 2**31 - 1), words, np.array([first, second], np.int16))


def most(kind: Any) -> int:
    """Of weights: two of a pair may have 127 together where pairs are summed in 16 bits."""
    return 63 if kind is dot_products.Int8Pairs else 127


@each_int8
def test_int8_adds_four_products(kind: Any) -> None:
    draw = np.random.default_rng(3)
    for _ in range(DRAWS):
        words = draw.integers(-most(kind), most(kind) + 1, (REGISTER, 4)).astype(np.int8)
        x = draw.integers(0, 256, 4).astype(np.uint8)
        hold_exact(kind, draw.integers(-(2**30), 2**30, REGISTER), words, x)


@each_int8
def test_each_place_of_an_int8_word(kind: Any) -> None:
    """Activations have no sign: 255 is 255 in each of the four places."""
    words = np.arange(-2 * REGISTER, 2 * REGISTER, dtype=np.int8).reshape(REGISTER, 4)
    for x in 255 * np.eye(4, dtype=np.uint8):
        hold_exact(kind, np.arange(REGISTER), words, x)


@each_int8
@pytest.mark.parametrize("sign", [-1, 1])
def test_int8_extremes(kind: Any, sign: int) -> None:
    words = np.full((REGISTER, 4), sign * most(kind), np.int8)
    for pattern in ((255,) * 4, (255, 0, 255, 0), (0, 255, 0, 255), (128, 127, 0, 1)):
        hold_exact(kind, np.full(REGISTER, sign * 1000), words, np.array(pattern, np.uint8))
