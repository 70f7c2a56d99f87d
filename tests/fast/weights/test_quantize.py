"""Quantised sums cannot overflow: not for any weights, not for any activations.

Hypothesis looks for the worst rows; what it finds goes through the compiled kernels.
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from engine.fast.codegen.target import LANES
from engine.fast.weights import quantize
from tests.fast import compiled as fast
from tests.fast.test_kernels import hadamard

Array = NDArray[Any]
LIMIT = 2**31
SIZES = (1, 2, 40, 64, 384, 768, 1000, 3072, 4096)
many = settings(max_examples=300, deadline=None)


def numbers(largest: float) -> SearchStrategy[float]:
    """Of every magnitude, denormal ones too, either sign; and often the same few."""
    return st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-40, 3e-20, 1e-25, 1e-10, largest]),
        st.floats(-largest, largest, width=32),
    )


def rows(largest: float) -> SearchStrategy[Array]:
    """Few different numbers in any order, or noise of one size with outliers."""
    sizes = st.sampled_from(SIZES)
    sparse = sizes.flatmap(
        lambda n: arrays.arrays(np.float32, n, elements=numbers(largest), fill=numbers(largest))
    )
    return st.one_of(sparse, st.builds(_noise, sizes, st.integers(0, 99), st.floats(-40, 15)))


def _noise(size: int, seed: int, magnitude: float) -> Array:
    draw = np.random.default_rng(seed)
    x = draw.standard_normal(size) * 10.0**magnitude
    x[draw.integers(size)] *= draw.choice([1, 30, 1000])
    return np.asarray(x, np.float32)


def length(x: Array) -> float:
    return math.sqrt(int(np.square(x.astype(np.int64)).sum()))


# int16: |a| |w| bounds every sum, of any subset of the products as well


def test_the_longest_rows_fit_together() -> None:
    assert quantize.LENGTH**2 < LIMIT <= (quantize.LENGTH + 1) ** 2


@pytest.mark.slow
@many
@given(rows(2.0**50))
def test_int16_activations_are_never_too_long(x: Array) -> None:
    whole, scale = fast.quantize_int16(x, quantize.length_limit(len(x)))
    assert length(whole) <= quantize.LENGTH and np.abs(whole.astype(int)).max() <= 32767
    assert math.isfinite(scale)


@pytest.mark.slow
@many
@given(rows(2.0**50))
def test_int16_weights_are_never_too_long(w: Array) -> None:
    whole, scales = quantize.int16(w[None])
    assert length(whole) <= quantize.LENGTH and np.abs(whole.astype(int)).max() <= 32767
    assert np.isfinite(scales).all()


def test_int16_rows_of_equal_numbers_are_never_too_long() -> None:
    """Every size of every magnitude: rounding goes the same way in all places."""
    for size in (768, 3072, 4096):
        for magnitude in np.concatenate(
            [10.0 ** np.arange(-45, 16), 0.37 * 10.0 ** np.arange(-45, 16)]
        ):
            x = np.full(size, magnitude, np.float32)
            a, _ = fast.quantize_int16(x, quantize.length_limit(size))
            w, _ = quantize.int16(x[None])
            assert length(a) * length(w) < LIMIT
            assert int(a.astype(np.int64) @ w[0].astype(np.int64)) < LIMIT


@many
@given(st.integers(0, 999), st.sampled_from(SIZES[2:]), st.sampled_from([0, 1, 30, 1000]))
def test_int16_is_close(seed: int, size: int, outlier: float) -> None:
    """What it is for: 13 bits or more of each number, and all 16 of an outlier."""
    draw = np.random.default_rng(seed)
    x, w = draw.standard_normal((2, size)).astype(np.float32)
    x[0] *= outlier
    a, scale = fast.quantize_int16(x, quantize.length_limit(size))
    b, scales = quantize.int16(w[None])
    product = int(a.astype(np.int64) @ b[0].astype(np.int64)) * scale * float(scales[0])
    error = abs(product - x.astype(np.float64) @ w)
    assert error <= 1.5 * size / 46000 * np.linalg.norm(x) * np.linalg.norm(w) / math.sqrt(size)


# int8: a whole sum, and where pairs are summed in 16 bits first, each of these


def pairs_in_16_bits(a: Array, w: Array) -> Array:
    """Sums of two products, as vpmaddubsw gives them."""
    return np.clip(exact_pairs(a, w), -32768, 32767)


def exact_pairs(a: Array, w: Array) -> Array:
    return (a.astype(np.int64) * w).reshape(-1, 2).sum(axis=1)


def hold_pairs(w: Array) -> None:
    """What 16 bits give is what 64 bits give, for the worst activations: as large as can be, all of
    them, or only where weights are positive, or negative."""
    full = np.full(len(w), quantize.PAIR_LEVELS)
    for a in (full, np.where(w > 0, full, 0), np.where(w < 0, full, 0)):
        assert np.array_equal(pairs_in_16_bits(a, w), exact_pairs(a, w))


def whole_words(x: Array) -> Array:
    """Zeros behind, up to a multiple of 4."""
    return np.concatenate([x, np.zeros(-len(x) % 4, x.dtype)])


@pytest.mark.slow
@many
@given(rows(2.0**50))
def test_no_pair_leaves_16_bits(w: Array) -> None:
    whole, scales = quantize.int8(whole_words(w)[None], pairs=True)
    assert np.abs(whole.astype(int)).max() <= 127 and np.isfinite(scales).all()
    hold_pairs(whole[0])


def test_no_pair_of_the_largest_weights_leaves_16_bits() -> None:
    """Every way in which the four weights of a word can be extreme."""
    for signs in range(3**4):
        w = np.array([signs // 3**i % 3 - 1 for i in range(4)], np.float32)
        whole, _ = quantize.int8(w[None], pairs=True)
        hold_pairs(whole[0])


def test_without_the_check_pairs_would_saturate() -> None:
    whole, _ = quantize.int8(np.ones((1, 4), np.float32), pairs=False)
    full = np.full(4, quantize.PAIR_LEVELS)
    assert (pairs_in_16_bits(full, whole[0]) < exact_pairs(full, whole[0])).all()


@pytest.mark.slow
@many
@given(rows(2.0**50))
def test_int8_sums_fit_32_bits(w: Array) -> None:
    whole, scales = quantize.int8(w[None], pairs=False)
    assert np.abs(whole.astype(np.int64)).sum() * 255 < LIMIT and np.isfinite(scales).all()


@pytest.mark.slow
@many
@given(rows(2.0**50))
def test_int8_activations_stay_in_range(x: Array) -> None:
    """Both ends of the row are met, nothing wraps around."""
    whole, scale, low = fast.quantize_int8(x)
    got = low + whole[: len(x)].astype(np.float64) * scale
    span = max(x.max(), 0) - min(x.min(), 0) + 1e-27
    assert np.abs(got - x).max() <= span * (0.51 / 200 + 1e-6)


def test_zeros_stay_zeros() -> None:
    zeros = np.zeros((2, 64), np.float32)
    for whole, scales in (
        quantize.int16(zeros),
        quantize.int8(zeros, pairs=True),
        quantize.int8(zeros, pairs=False),
    ):
        assert not whole.any() and (scales == 1).all()
    assert not fast.quantize_int16(zeros[0], 46000)[0].any()


# the ends of float32's range, against float64: w ≈ scale * integer, row by row

ENDS = {
    "zeros": np.zeros(64),
    "denormal": np.linspace(-1e-41, 3e-42, 64),
    "the least number": np.full(64, 1e-45),
    "scale below the normal numbers": np.linspace(-3e-37, 1e-37, 64),
    "an outlier of 1e30": np.where(np.arange(64) == 9, 1e30, 1.0),
    "the largest number": np.where(np.arange(64) % 3, 3.4e38, -3.4e38),
}
TOGETHER = np.array([*ENDS.values()], np.float32)  # no row may lean on its neighbours


def hold_rows(w_OI: Array, integers: Array, scales: Array, levels: Array) -> None:
    """Each number is within half an integer, of which the largest of its row has `levels`."""
    assert np.isfinite(scales).all() and (scales > 0).all()
    wide = w_OI.astype(np.float64)
    error = np.abs(integers.astype(np.float64) * scales[:, None].astype(np.float64) - wide)
    size = np.abs(wide).max(axis=1, keepdims=True)
    least = np.finfo(np.float32).smallest_subnormal
    assert (error <= 0.5001 * np.maximum(size / levels, least)).all()


def test_int16_weights_of_any_size() -> None:
    integers, scales = quantize.int16(TOGETHER)
    lengths = np.linalg.norm(TOGETHER.astype(np.float64), axis=1, keepdims=True)
    size = np.abs(TOGETHER.astype(np.float64)).max(axis=1, keepdims=True)
    spread = np.maximum(lengths / np.where(size, size, 1), 1)
    hold_rows(TOGETHER, integers, scales, np.minimum(32767, quantize.length_limit(64) / spread))


@pytest.mark.parametrize("pairs", [False, True])
def test_int8_weights_of_any_size(pairs: bool) -> None:
    integers, scales = quantize.int8(TOGETHER, pairs)
    levels = np.array([[quantize.PAIR_LIMIT / 2 / 1.002 if pairs else 127]])
    hold_rows(TOGETHER, integers, scales, levels)
    assert not pairs or quantize._fullest_pair(integers).max() <= quantize.PAIR_LIMIT


@pytest.mark.parametrize("block", [1, 8, 64])
def test_rotation_neither_overflows_nor_loses_small_numbers(block: int) -> None:
    H = hadamard(block)
    wide = TOGETHER.astype(np.float64) * quantize.signs(64)
    expected = (wide.reshape(-1, block) @ H).reshape(TOGETHER.shape) / block
    error = np.abs(quantize.rotate(TOGETHER, block) - expected)
    size = np.abs(wide).max(axis=1, keepdims=True)
    assert (error <= 1e-6 * size + block * np.finfo(np.float32).smallest_subnormal).all()


# how wide a row may be


def test_the_widest_rows_of_int8_fit_32_bits() -> None:
    assert 255 * 127 * quantize.WIDEST < LIMIT


def test_the_widest_rows_of_int16_fit_32_bits() -> None:
    """Equal numbers, where all roundings go one way, of every size between two powers of two."""
    for x in np.linspace(1, 2, 40, dtype=np.float32):
        row = np.full(quantize.WIDEST, x)
        a, _ = fast.quantize_int16(row, quantize.length_limit(len(row)))
        w, _ = quantize.int16(row[None])
        assert length(a) * length(w[0]) < LIMIT


def test_the_roundings_of_a_token_s_length_leave_room() -> None:
    """Vectors of 4 have the longest sums, so the error that grows with K is largest there."""
    squares = np.linspace(1, 4, 2001, dtype=np.float32)  # of equal numbers
    sums = np.zeros_like(squares)
    for _ in range(quantize.WIDEST // 4):
        sums += squares
    exact = squares.astype(np.float64) * (quantize.WIDEST // 4)
    longer = np.sqrt((exact / sums).max())
    limit = quantize.length_limit(quantize.WIDEST)
    rounding = math.sqrt(quantize.WIDEST) / 2
    assert (limit * longer + rounding) * (limit + rounding) < LIMIT


# the rotation


@pytest.mark.slow
@many
@given(st.sampled_from([1, 4, 8, 32, 128, 512]), st.integers(1, 4), st.integers(0, 99))
def test_rotation_leaves_products_alone(block: int, blocks: int, seed: int) -> None:
    """Activations are turned by S H, weights by S H / order: S H Hᵀ Sᵀ / order is 1."""
    x, w = np.random.default_rng(seed).standard_normal((2, block * blocks))
    signs = quantize.signs(block * blocks)
    turned = quantize.rotate(w[None].astype(np.float32), block)[0].astype(np.float64)
    H = hadamard(block)
    expected = ((signs * w.astype(np.float32)).reshape(-1, block) @ H / block).reshape(-1)
    np.testing.assert_allclose(turned, expected, rtol=0, atol=2e-6)
    product = ((signs * x).reshape(-1, block) @ H).reshape(-1) @ expected
    np.testing.assert_allclose(product, x @ w.astype(np.float32), rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", [2**n for n in range(10)])
def test_signs_have_nothing_in_common_with_any_row(order: int) -> None:
    """For as long as a block may be, wherever it begins; so what is common is spread evenly."""
    for block in quantize.signs(8 * order).reshape(8, order):
        assert np.abs(hadamard(order) @ block).max() <= math.sqrt(2 * order) + 1e-9


def test_blocks_are_the_largest_there_are() -> None:
    """The larger a block, the more numbers share an outlier."""
    sizes = {1: 1, 8: 1, 16: 16, 24: 1, 37: 1, 48: 16, 384: 128, 768: 256, 1024: 512, 4096: 512}
    assert {K: quantize.block_size(K) for K in sizes} == sizes


@given(st.sampled_from([1, 20, 24, 37, 384, 768, 1024, 1536, 3072, 4096]))
def test_blocks_divide_the_row_and_fill_vectors(K: int) -> None:
    block = quantize.block_size(K)
    assert K % block == 0 and (block == 1 or LANES <= block <= quantize.LARGEST_BLOCK)
    assert block & (block - 1) == 0


def test_outliers_of_a_layer_norm_are_divided_by_powers_of_two() -> None:
    scale = np.array([1, -0.9, 1.1, 2.9, -20, 0, 3.1, 1, 1], np.float32)
    assert quantize.norm_factors(scale).tolist() == [1, 1, 1, 1, 16, 1, 4, 1, 1]
    assert quantize.norm_factors(scale).dtype == np.float32


@pytest.mark.parametrize("scale", [np.zeros(9), np.ones(9), np.eye(9)[0]])
def test_without_a_median_or_outliers_nothing_is_divided(scale: NDArray[Any]) -> None:
    assert (quantize.norm_factors(scale.astype(np.float32)) == 1).all()
