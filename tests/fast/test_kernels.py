"""The compiled kernels, one by one, against float64: whole ranges, odd sizes, extremes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fast import compiled as fast
from tests.fast.compiled import LANES

Array = NDArray[Any]
TINIEST, SMALLEST = 1e-45, 1.2e-38  # the least denormal number, nearly the least normal one
SIZES = (1, 2, 3, 7, 8, 15, 16, 17, 31, 37, 64, 65, 100)


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng([seed, *shape]).standard_normal(shape, np.float32)


def every_magnitude(largest: float) -> NDArray[np.float32]:
    """Positive numbers, 2,000 for each power of ten, denormals among them."""
    exponents = np.arange(-45, math.log10(largest), 1 / 2000)
    return (10.0**exponents).astype(np.float32)


def exact_gelu(x: Array) -> NDArray[np.float64]:
    erfc = np.frompyfunc(math.erfc, 1, 1)
    wide = x.astype(np.float64)
    return 0.5 * wide * erfc(-wide / math.sqrt(2)).astype(np.float64)


# exp


def test_exp_is_as_exact_as_it_says() -> None:
    small = every_magnitude(87)
    x = np.concatenate([np.linspace(-87, 88, 1_000_001), small, -small]).astype(np.float32)
    x = x[x > -87]
    true = np.exp(x.astype(np.float64))
    assert np.abs(fast.exp(x) / true - 1).max() < 2e-7


def test_exp_of_nothing_is_one() -> None:
    x = np.array([0.0, -0.0, TINIEST, -TINIEST, SMALLEST, -SMALLEST], np.float32)
    assert (fast.exp(x) == 1).all()


def test_exp_of_very_little_is_zero() -> None:
    x = np.array([-87, -87.5, -88, -100, -1e4, -1e30, -3.4e38, -np.inf], np.float32)
    assert not fast.exp(x).any()


def test_exp_at_the_ends_of_its_range() -> None:
    x = np.array([88, np.nextafter(np.float32(-87), np.float32(0))], np.float32)
    np.testing.assert_allclose(fast.exp(x), np.exp(x.astype(np.float64)), rtol=2e-7)


def test_exp_never_falls() -> None:
    """A greater score gets no smaller share, but for the last bit."""
    y = fast.exp(np.linspace(-87, 88, 500_001, dtype=np.float32))
    assert (y[1:] >= y[:-1] * np.float32(1 - 1.2e-7)).all()


# gelu


def test_gelu_is_as_exact_as_it_says() -> None:
    small = every_magnitude(30)
    x = np.concatenate([np.linspace(-30, 30, 400_001), small, -small]).astype(np.float32)
    error = np.abs(fast.gelu(x) - exact_gelu(x))
    assert (error < 1e-7 * np.maximum(1, np.abs(x))).all()


def test_gelu_far_out_is_the_line_or_zero() -> None:
    far = np.array([6, 30, 1e3, 1e10, 1e19, 1e30, 3e38], np.float32)
    assert np.array_equal(fast.gelu(far), far)
    far[0] = 30
    assert not fast.gelu(-far).any()


def test_gelu_near_zero_is_half() -> None:
    x = np.array([0.0, -0.0, TINIEST, SMALLEST, -SMALLEST, 1e-30, -1e-30, 1e-9], np.float32)
    np.testing.assert_allclose(fast.gelu(x), x / 2, rtol=2e-6, atol=1e-44)


# rows


def test_layer_norm() -> None:
    for size in SIZES:
        x, scale, shift = 3 * noise(size) + 1, noise(size, seed=1), noise(size, seed=2)
        wide = x.astype(np.float64)
        unit = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-12)
        got = fast.layer_norm(x, scale, shift)
        np.testing.assert_allclose(got, unit * scale + shift, rtol=0, atol=4e-6)


def test_layer_norm_far_from_zero() -> None:
    """Mean first, then squares: nothing is lost where the mean is large."""
    x = (1000 + noise(768)).astype(np.float32)
    wide = x.astype(np.float64)
    unit = (wide - wide.mean()) / wide.std()
    got = fast.layer_norm(x, np.ones(768, np.float32), np.zeros(768, np.float32))
    np.testing.assert_allclose(got, unit, rtol=0, atol=3e-4)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.25, 1e-20])
def test_layer_norm_of_equal_numbers_is_the_shift(value: float) -> None:
    shift = noise(40)
    got = fast.layer_norm(np.full(40, value, np.float32), noise(40, seed=1), shift)
    np.testing.assert_allclose(got, shift, rtol=0, atol=1e-6)


def exact_softmax(x: Array, factor: float) -> NDArray[np.float64]:
    scores = x.astype(np.float64) * factor
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def test_softmax_of_every_length() -> None:
    for length in range(1, 4 * LANES + 2):
        for width in {fast.whole(length), fast.whole(length) + 2 * LANES}:
            x = 10 * noise(length)
            got = fast.softmax(x, 0.125, width)
            np.testing.assert_allclose(got, exact_softmax(x, 0.125), rtol=2e-6, atol=1e-38)
            assert abs(got.astype(np.float64).sum() - 1) < 1e-6


@pytest.mark.parametrize("x", [[1e30, 1e30], [-1e30, -1e30], [3e30, -3e30, 0], [-1e38], [0.0] * 33])
def test_softmax_of_extreme_scores(x: list[float]) -> None:
    row = np.array(x, np.float32)
    got = fast.softmax(row, 1.0, fast.whole(len(row)))
    np.testing.assert_allclose(got, exact_softmax(row, 1.0), rtol=1e-6)


def hadamard(order: int) -> NDArray[np.int64]:
    matrix = np.ones((1, 1), np.int64)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


@pytest.mark.parametrize("block", [2**n for n in range(10)])
def test_rotation_is_hadamards(block: int) -> None:
    """Integers stay integers, so it can be exact. Blocks below a vector only get signs."""
    width, draw = 3 * max(block, LANES), np.random.default_rng(block)
    x, signs = draw.integers(-1000, 1001, width), draw.choice([-1, 1], width)
    order = block if block >= LANES else 1
    expected = (x * signs).reshape(-1, order) @ hadamard(order)
    got = fast.rotate(x.astype(np.float32), signs.astype(np.float32), block)
    assert np.array_equal(got, expected.reshape(-1))


# attention


def exact_attention(q: Array, k: Array, v: Array) -> NDArray[np.float64]:
    q, k, v = (part.astype(np.float64) for part in (q, k, v))
    return np.asarray(exact_softmax(q @ k.T, 1 / math.sqrt(q.shape[1])) @ v)


@pytest.mark.slow
@pytest.mark.parametrize("K", [1, 3, 8, 20, 32, 33, 64])
def test_attention_of_every_length(K: int) -> None:
    for length in (*range(1, 20), 31, 32, 33, 61, 64, 65, 130):
        q, k, v = (scale * noise(length, K, seed=n) for n, scale in enumerate((2, 3, 1)))
        got = fast.attention(q, k, v, stride=3 * K + 5 * LANES + 3)
        np.testing.assert_allclose(got, exact_attention(q, k, v), rtol=0, atol=2e-5)


def test_attention_of_a_sharp_query() -> None:
    """One key far ahead of the others: its value, and nothing else."""
    q, k, v = (noise(40, 32, seed=n) for n in range(3))
    k[7] = 1000 * q[0]
    got = fast.attention(q[:1].repeat(40, 0), k, v, stride=200)
    np.testing.assert_allclose(got, v[7:8].repeat(40, 0), rtol=0, atol=1e-6)


# integers


def test_int16_rows_come_back() -> None:
    for size in SIZES:
        x = noise(size)
        whole, scale = fast.quantize_int16(x, 46000)
        np.testing.assert_allclose(whole * scale, x, rtol=0, atol=0.51 * scale)
        assert np.abs(whole).max() >= min(32767, 46000 / math.sqrt(size)) - 1


def test_int8_rows_come_back() -> None:
    for size in SIZES:
        x = noise(size)
        whole, scale, low = fast.quantize_int8(x)
        np.testing.assert_allclose(low + whole[:size] * scale, x, rtol=0, atol=0.51 * scale)


@pytest.mark.parametrize(
    "make", [np.zeros, lambda n: np.full(n, 5.0), lambda n: np.full(n, -1e-41)]
)
def test_int8_rows_of_equal_numbers_come_back(make: Callable[[int], Array]) -> None:
    x = np.asarray(make(64), np.float32)
    whole, scale, low = fast.quantize_int8(x)
    np.testing.assert_allclose(low + whole * scale, x, rtol=1e-6, atol=1e-38)
