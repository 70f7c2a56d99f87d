"""Rows to integers: the rotation exactly, scales and integers against float64, extremes."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.fast.codegen.constants import LANES, TARGET
from tests.fast import compiled as fast
from tests.fast.test_kernels import exact_gelu

Array = NDArray[Any]

LEVELS = {"pairs": 200}.get(TARGET.int8, 255)
SIZES = (1, 2, 7, 16, 17, 40, 384, 1000)
FAR = 1e9  # a limit of the norm that limits nothing


def noise(size: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng([size, seed]).standard_normal(size, np.float32)


# the rotation


def hadamard(order: int) -> NDArray[np.int64]:
    matrix = np.ones((1, 1), np.int64)
    while len(matrix) < order:
        matrix = np.kron([[1, 1], [1, -1]], matrix)
    return matrix


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("block", [LANES << n for n in range(6)])
def test_each_block_is_rotated_by_itself(block: int, blocks: int) -> None:
    """Of whole numbers, so that it can be exact: one, two and three doublings, and so on."""
    draw = np.random.default_rng(block)
    x, signs = draw.integers(-999, 1000, block * blocks), draw.choice([-1, 1], block * blocks)
    expected = (x * signs).reshape(blocks, block) @ hadamard(block)
    got = fast.rotate(x.astype(np.float32), signs.astype(np.float32), block)
    assert np.array_equal(got, expected.reshape(-1))


@pytest.mark.parametrize("block", [1, 2, LANES // 2])
def test_blocks_below_a_vector_only_get_signs(block: int) -> None:
    x, signs = noise(3 * LANES), np.resize(np.array([1, -1, -1], np.float32), 3 * LANES)
    assert np.array_equal(fast.rotate(x, signs, block), x * signs)


def test_an_outlier_is_spread_over_its_block() -> None:
    x, block = np.zeros(8 * LANES, np.float32), 4 * LANES
    x[block + 3] = 5
    got = fast.rotate(x, np.ones_like(x), block)
    assert not got[:block].any() and (np.abs(got[block:]) == 5).all()


# gelu in 8 bits


def test_gelu8_is_as_exact_as_it_says() -> None:
    x = np.linspace(-60, 60, 200_001, dtype=np.float32)
    size = np.maximum(1, np.abs(x) / 25)
    assert (np.abs(fast.gelu8(x) - exact_gelu(x)) / size).max() <= 1e-4
    strange = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert not np.isfinite(fast.gelu8(strange)).any()


# int16


@pytest.mark.parametrize("size", SIZES)
def test_int16_is_limited_by_the_norm(size: int) -> None:
    limit, x = 2000, noise(size)
    scale = np.linalg.norm(x.astype(np.float64)) / limit
    got, got_scale = fast.quantize_int16(x, limit)
    np.testing.assert_allclose(got_scale, scale, rtol=1e-6)
    np.testing.assert_allclose(got, x / scale, rtol=0, atol=0.501)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [-1, 1])
def test_int16_is_limited_by_the_largest_number(size: int, sign: int) -> None:
    x = noise(size)
    x[size // 2] = sign * 100
    scale = 100 / 32767
    got, got_scale = fast.quantize_int16(x, FAR)
    np.testing.assert_allclose(got_scale, scale, rtol=1e-6)
    np.testing.assert_allclose(got, x / scale, rtol=0, atol=0.502)
    assert got[size // 2] == sign * 32767


def test_int16_rounds_to_the_nearest_and_halves_to_even() -> None:
    """With a scale of 1: the numbers are the integers."""
    x = np.array([32767, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.4999, 3.51, -3.51, -7], np.float32)
    got, scale = fast.quantize_int16(x, FAR)
    assert got.tolist() == [32767, 0, 2, 2, 0, -2, -2, 0, 4, -4, -7] and scale == 1


@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-25, 1e-15, 1e15])
def test_int16_of_any_magnitude(size: float) -> None:
    """Never out of range; and where squares do not underflow, as exact as ever."""
    x = (noise(40) * size).astype(np.float32)
    got, scale = fast.quantize_int16(x, 2000)
    assert np.linalg.norm(got.astype(float)) <= 2000 + np.sqrt(40) / 2
    np.testing.assert_allclose(got * scale, x, rtol=0, atol=max(0.51 * scale, 1e-44))
    if size >= 1e-15:
        assert np.linalg.norm(got.astype(float)) >= 2000 - np.sqrt(40) / 2


def test_int16_of_zeros() -> None:
    got, scale = fast.quantize_int16(np.zeros(40, np.float32), 2000)
    assert not got.any() and 0 < scale < 1e-20


# int8


@pytest.mark.parametrize("size", SIZES)
def test_int8_spans_the_row(size: int) -> None:
    """From the least number, 0, to the greatest, LEVELS; zeros behind the row are part of it."""
    x = noise(size)
    row = fast.padded(x).astype(np.float64)
    scale = (row.max() - row.min()) / LEVELS
    got, got_scale, low = fast.quantize_int8(x)
    np.testing.assert_allclose(got_scale, scale, rtol=1e-6)
    np.testing.assert_allclose(low, row.min(), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(got, (row - row.min()) / scale, rtol=0, atol=0.501)
    assert got[row.argmin()] == got.min() == 0 and got[row.argmax()] == got.max() == LEVELS


@pytest.mark.parametrize("place", range(0, 3 * LANES, 5))
@pytest.mark.parametrize("sign", [-1, 1])
def test_int8_finds_an_outlier_in_any_place(place: int, sign: int) -> None:
    x = noise(fast.whole(3 * LANES))
    x[place] = sign * 50
    got, scale, _ = fast.quantize_int8(x)
    assert got[place] == (LEVELS if sign > 0 else 0)
    np.testing.assert_allclose(scale, np.ptp(x) / LEVELS, rtol=1e-6)


def test_int8_rounds_to_the_nearest() -> None:
    x = np.resize(np.array([0, LEVELS, 7.4, 7.6, 199.49], np.float32), fast.whole(16))
    got, scale, low = fast.quantize_int8(x)
    assert scale == 1 and low == 0
    assert got[:5].tolist() == [0, LEVELS, 7, 8, 199]


@pytest.mark.parametrize("value", [0.0, 5.0, -3.25, 1e-41])
def test_int8_of_equal_numbers(value: float) -> None:
    x = np.full(fast.whole(40), value, np.float32)
    got, scale, low = fast.quantize_int8(x)
    assert not got.any() and 0 < scale < 1e-29
    np.testing.assert_allclose(low, x[0], rtol=1e-6, atol=1e-27)


@pytest.mark.parametrize("size", [1e-20, 1e-10, 1e10, 1e30])
def test_int8_of_any_magnitude(size: float) -> None:
    x = (noise(fast.whole(64)) * size).astype(np.float32)
    got, scale, low = fast.quantize_int8(x)
    assert got.min() == 0 and got.max() == LEVELS
    restored = low + got.astype(np.float64) * scale
    np.testing.assert_allclose(restored, x, rtol=0, atol=0.51 * scale)
