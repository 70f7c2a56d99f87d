"""Each operation on vectors, every lane, against numpy in the same type: equal bit by bit."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.fast.codegen import simd
from engine.fast.codegen.constants import LANES
from engine.fast.kernels import jit
from tests.fast.compiled import address, load_long
from tests.fast.rounding import multiply_add, rounded_once

Array = NDArray[Any]
Call = Callable[..., None]

FLOATS = np.array(
    [0.0, -0.0, 1.0, -1.5, 3e38, -3e38, 1e-45, -1e-40, np.inf, -np.inf, np.nan, 1 / 3], np.float32
)
INTEGERS = np.array([0, 1, -1, 2**31 - 1, -(2**31), 12345, -98765], np.int32)
UNTOUCHED = 77


def same(got: Array, expected: Array) -> bool:
    """The same bits; any NaN is like any other."""
    assert got.dtype == expected.dtype
    if got.dtype != np.float32:
        return np.array_equal(got, expected)
    both_nan = np.isnan(got) & np.isnan(expected)
    return bool((both_nan | (got.view(np.int32) == expected.view(np.int32))).all())


def pairs(numbers: Array) -> tuple[Array, Array]:
    """Every number beside every other, in whole vectors, and so each in many lanes."""
    x, y = (each.reshape(-1) for each in np.meshgrid(numbers, numbers))
    size = -(-len(x) // LANES) * LANES
    return np.resize(x, size), np.resize(y, size)


def run(call: Call, *arrays: Array, out: type) -> Array:
    """`call(addresses..., out, n)` over whole vectors; nothing beside the result is written."""
    n = len(arrays[0])
    result = np.full(n + 2 * LANES, UNTOUCHED, out)
    call(*map(address, arrays), address(result) + 4 * LANES, n)
    assert (result[:LANES] == UNTOUCHED).all() and (result[-LANES:] == UNTOUCHED).all()
    return result[LANES:-LANES]


def over_floats(operation: Any) -> Call:
    @jit  # type: ignore[untyped-decorator]
    def call(x, y, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, operation(simd.load_f(x, i), simd.load_f(y, i)))

    return call  # type: ignore[no-any-return]


def over_integers(operation: Any) -> Call:
    @jit  # type: ignore[untyped-decorator]
    def call(x, y, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, operation(simd.load_i(x, i), simd.load_i(y, i)))

    return call  # type: ignore[no-any-return]


# arithmetic


@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_arithmetic_of_floats(name: str) -> None:
    operation = getattr(operator, name)
    x, y = pairs(FLOATS)
    with np.errstate(all="ignore"):
        assert same(run(over_floats(operation), x, y, out=np.float32), operation(x, y))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "and_", "or_"])
def test_arithmetic_of_integers(name: str) -> None:
    """Modulo 2^32."""
    operation = getattr(operator, name)
    x, y = pairs(INTEGERS)
    assert same(run(over_integers(operation), x, y, out=np.int32), operation(x, y))


def test_shift_to_the_left() -> None:
    x, y = pairs(np.array([0, 1, 3, 23, 31, 12], np.int32))
    assert same(run(over_integers(operator.lshift), x, y, out=np.int32), x << y)


def test_the_emulation_of_fma_rounds_once() -> None:
    """Just below the middle of two float32, by less than float64 can see beside 1."""
    x, y = np.array([2**-12 * (1 + 2**-15), 2**-12 * (1 - 2**-15)], np.float32)[:, None]
    z = np.array([1 + 2**-23], np.float32)
    assert rounded_once(x, y, z) == z
    assert (x.astype(np.float64) * y + z).astype(np.float32) == np.float32(1 + 2**-22)


def test_fma() -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(x, y, z, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            product = simd.fma(simd.load_f(x, i), simd.load_f(y, i), simd.load_f(z, i))
            simd.store(out, i, product)

    x, y = np.random.default_rng(1).standard_normal((2, 100 * LANES), np.float32)
    z = -(x * y)  # what is left is the rounding of the product
    got = run(call, x, y, z, out=np.float32)
    assert same(got + np.float32(0), multiply_add(x, y, z) + np.float32(0))


@pytest.mark.parametrize(("name", "expected"), [("sqrt", np.sqrt), ("absolute", np.abs)])
def test_functions_of_one_vector(name: str, expected: Any) -> None:
    operation = getattr(simd, name)

    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, operation(simd.load_f(x, i)))

    random = np.random.default_rng(2).standard_normal(20 * LANES, np.float32)
    x = np.concatenate([np.resize(FLOATS, 3 * LANES), random])
    with np.errstate(invalid="ignore"):
        assert same(run(call, x, out=np.float32), expected(x))


def test_the_root_of_a_number() -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(n):
            simd.store(out, i, simd.sqrt(simd.load_float(x, i)))

    x = np.abs(np.random.default_rng(3).standard_normal(50, np.float32))
    assert same(run(call, x, out=np.float32), np.sqrt(x))


# comparisons


def test_the_greater_is_selected() -> None:
    """NaN is greater than nothing, and nothing than NaN."""

    def greater(x, y):  # type: ignore[no-untyped-def]
        return simd.select(x > y, x, y)

    x, y = pairs(FLOATS)
    assert same(run(over_floats(jit(greater)), x, y, out=np.float32), np.where(x > y, x, y))


def test_lanes_below_a_number_are_selected() -> None:
    """Signed: -1 is below 0."""

    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            low = simd.lane() < simd.splat(load_long(x, i // LANES))
            simd.store(out, i, simd.select(low, simd.splat(1.0), simd.splat(-2.0)))

    limits = np.array([0, 1, LANES - 1, LANES, LANES + 1, 1000, -1, -1000])
    expected = np.where(np.arange(LANES) < limits[:, None], 1, -2).astype(np.float32)
    padded = np.resize(limits, expected.size)
    assert same(run(call, padded, out=np.float32), expected.reshape(-1))


# numbers in every lane


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-45, 16777217.0, 3e38])
def test_a_float_in_every_lane(value: float) -> None:
    """float64 is rounded to float32, and float32 stays as it is."""

    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        simd.store(out, 0, simd.splat(value))
        simd.store(out, LANES, simd.splat(simd.load_float(x, 0)))

    x = np.full(2 * LANES, value, np.float32)
    assert same(run(call, x, out=np.float32), x)


@pytest.mark.parametrize("value", [0, -1, 2**31 - 1, 0x4B400000, 2**32 + 5])
def test_an_integer_in_every_lane(value: int) -> None:
    """The low 32 bits of an int64."""

    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        simd.store(out, 0, simd.splat(load_long(x, 0)))

    x = np.full(LANES, value, np.int64)
    assert same(run(call, x, out=np.int32), x.astype(np.int32))


def test_lanes_are_numbered_from_0() -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        simd.store(out, 0, simd.lane())

    assert same(run(call, np.zeros(LANES), out=np.int32), np.arange(LANES, dtype=np.int32))


# bits


def test_bits_of_floats_and_back() -> None:
    @jit  # type: ignore[untyped-decorator]
    def to_bits(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, simd.bits(simd.load_f(x, i)))

    @jit  # type: ignore[untyped-decorator]
    def back(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, simd.from_bits(simd.load_i(x, i)))

    x = np.resize(FLOATS, 3 * LANES)
    whole = run(to_bits, x, out=np.int32)
    assert same(whole, x.view(np.int32))
    assert same(run(back, whole, out=np.float32), x)


def test_integers_become_floats() -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, simd.to_float(simd.load_i(x, i)))

    x = np.resize(np.concatenate([INTEGERS, [2**24 + 1, 2**24 + 3]]).astype(np.int32), 2 * LANES)
    assert same(run(call, x, out=np.float32), x.astype(np.float32))


# loads and stores


@pytest.mark.parametrize("name", ["load_f", "load_i", "load_float", "load_int"])
def test_loads_from_every_place(name: str) -> None:
    """At any element, aligned to four bytes only; a vector from there on, or one number."""
    load, numbers = getattr(simd, name), 1 if name in ("load_float", "load_int") else LANES

    @jit  # type: ignore[untyped-decorator]
    def numbers_at(x, i, out):  # type: ignore[no-untyped-def]
        simd.store(out, 0, load(x, i))

    @jit  # type: ignore[untyped-decorator]
    def integer_at(x, i, out):  # type: ignore[no-untyped-def]
        simd.store(out, 0, simd.splat(np.int64(load(x, i))))

    dtype = np.float32 if name in ("load_f", "load_float") else np.int32
    call = integer_at if name == "load_int" else numbers_at
    x = np.arange(100, 100 + 3 * LANES).astype(dtype)
    for i in range(2 * LANES):
        out = np.zeros(LANES, dtype)
        call(address(x), i, address(out))
        assert np.array_equal(out[:numbers], x[i : i + numbers])


@pytest.mark.parametrize("name", ["store of floats", "store of integers", "store of a number"])
def test_stores_write_their_place_alone(name: str) -> None:
    @jit  # type: ignore[untyped-decorator]
    def floats(x, i, out):  # type: ignore[no-untyped-def]
        simd.store(out, i, simd.load_f(x, 0))

    @jit  # type: ignore[untyped-decorator]
    def integers(x, i, out):  # type: ignore[no-untyped-def]
        simd.store(out, i, simd.load_i(x, 0))

    @jit  # type: ignore[untyped-decorator]
    def number(x, i, out):  # type: ignore[no-untyped-def]
        simd.store(out, i, simd.load_float(x, 0))

    call, dtype, size = {
        "store of floats": (floats, np.float32, LANES),
        "store of integers": (integers, np.int32, LANES),
        "store of a number": (number, np.float32, 1),
    }[name]
    x = np.arange(1, LANES + 1).astype(dtype)
    for i in range(LANES):
        out = np.full(3 * LANES, UNTOUCHED, dtype)
        expected = out.copy()
        expected[i : i + size] = x[:size]
        call(address(x), i, address(out))
        assert np.array_equal(out, expected)


@pytest.mark.parametrize(("name", "dtype"), [("store_short", np.int16), ("store_byte", np.uint8)])
def test_low_bits_are_stored(name: str, dtype: type) -> None:
    """The index counts int16 or bytes; higher bits are dropped."""
    store = getattr(simd, name)

    @jit  # type: ignore[untyped-decorator]
    def call(x, i, out):  # type: ignore[no-untyped-def]
        store(out, i, simd.load_i(x, 0))

    x = np.resize([0, 1, -1, 127, 128, 255, 256, 32767, -32768, 65536 + 3], LANES).astype(np.int32)
    for i in range(LANES + 1):
        out = np.full(3 * LANES, UNTOUCHED, dtype)
        expected = out.copy()
        expected[i : i + LANES] = x.astype(dtype)
        call(address(x), i, address(out))
        assert np.array_equal(out, expected)


# between lanes


def folded(x: Array, combine: Callable[[Array, Array], Array]) -> Array:
    """The first half with the second, until one is left: the order is part of the result."""
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        x = combine(x[..., :half], x[..., half:])
    return x[..., 0]


@pytest.mark.parametrize(
    ("name", "combine"), [("total", np.add), ("largest", np.maximum), ("smallest", np.minimum)]
)
def test_one_number_of_all_lanes(name: str, combine: Any) -> None:
    fold = getattr(simd, name)

    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, simd.splat(fold(simd.load_f(x, i))))

    draw = np.random.default_rng(4)
    noise = draw.standard_normal((40, LANES)) * 10.0 ** draw.integers(-4, 5, (40, LANES))
    peaks = np.eye(LANES) * 100 - 50  # the greatest in each lane once, and the least
    x = np.concatenate([noise, peaks, -peaks]).astype(np.float32)
    got = run(call, x.reshape(-1), out=np.float32).reshape(x.shape)
    assert same(got, np.repeat(folded(x, combine)[:, None], LANES, axis=1))
