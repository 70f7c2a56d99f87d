"""Attention with products of integers, against float64: every rounding is bounded by arithmetic."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.fast import integer_attention
from engine.fast.codegen.constants import LANES
from engine.fast.codegen.simd import load_f, splat, store
from engine.fast.integer_attention import VALUE_LEVELS, WEIGHTS
from engine.fast.integer_scores import LEVELS
from engine.fast.kernels import jit
from engine.fast.weights.quantize import LENGTH, WIDEST
from tests.fast import compiled
from tests.fast.compiled import address
from tests.fast.test_kernels import exact_attention, noise
from tests.support.paths import ROOT

Array = NDArray[np.float32]

# Roundings are of either sign: in the 168 cases of `test_of_every_length` the largest error was
# 1.0e-4 of the largest value in 16 bits, and 6.0e-3 in 8.
TYPICAL = {32767: 3e-4, 127: 1.8e-2}[LEVELS]

SCORES = str(Path(__file__).with_name("test_integer_scores.py"))


def attention(q: Array, k: Array, v: Array, queries: int | None = None) -> Array:
    stride = 3 * q.shape[1] + 5 * LANES + 3
    return compiled.attention(q, k, v, stride, queries, integer_attention)


def bound(q: Array, k: Array, v: Array) -> float:
    """The largest error that rounding can cause.

    An integer is off by at most half: a query's or key's number by half a step of its column. A
    weight is off by the factor e^(2 error), and by half a step of its own; a value by half a step.
    float32 adds less than 1e-5 of it.
    """
    L, K = q.shape
    q, k = q.astype(np.float64), k.astype(np.float64)
    k = k - (k.max(axis=0) + k.min(axis=0)) / 2
    peak_q, peak_k = (np.abs(rows).max(axis=0) + 1e-30 for rows in (q, k))
    peaks = np.sqrt(peak_q * peak_k)
    limit = LENGTH - 1 - math.sqrt(K) / 2
    scale = min(limit / np.linalg.norm(peaks), LEVELS / peaks.max())
    # Half a step of each number, times the number that it is multiplied with; and half by half.
    errors = (np.abs(q) * peak_k / peaks).sum(axis=1).max() / 2 / scale
    errors += (np.abs(k) * peak_q / peaks).sum(axis=1).max() / 2 / scale
    score = (errors + K / 4 / scale**2) / math.sqrt(K) + 1e-5
    least_c = min(32767, WEIGHTS / L)
    weights = math.expm1(2 * score) + L / least_c
    return float(np.abs(v).max() * (2 * min(weights, 1) + 0.5 / VALUE_LEVELS + 1e-5))


@pytest.mark.parametrize("K", [1, 3, 8, 20, 32, 33, 64])
def test_of_every_length(K: int) -> None:
    for length in (*range(1, 20), 31, 32, 33, 61, 64, 65, 130):
        q, k, v = (scale * noise(length, K, seed=n) for n, scale in enumerate((1, 1, 1)))
        error = np.abs(attention(q, k, v) - exact_attention(q, k, v)).max()
        assert error <= bound(q, k, v)
        assert error <= TYPICAL * np.abs(v).max()


def test_the_same_with_queries_and_keys_in_8_bits() -> None:
    """All others of this file and of the scores', as the precision int8 compiles attention."""
    words = sys.executable, "-m", "pytest", "-q", "-k", "not in_8_bits", __file__, SCORES
    done = subprocess.run(
        words,
        env=os.environ | {"BGE_COMPILE_PRECISION": "int8"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_of_a_sharp_query() -> None:
    """One key far ahead of the others: its value, and nothing else."""
    q, k, v = (noise(40, 32, seed=n) for n in range(3))
    k[7] = 1000 * q[0]
    got = attention(q[:1].repeat(40, 0), k, v)
    step = np.abs(v).max(axis=0) / VALUE_LEVELS
    assert (np.abs(got - v[7]) <= 0.51 * step).all()


def test_small_weights_beside_a_large_one_are_not_lost() -> None:
    """511 weights of 1/1000 of the largest: a third of the whole, which 8 bits would lose."""
    q, k = np.zeros((512, 32), np.float32), np.zeros((512, 32), np.float32)
    q[:, 0], k[0, 0] = 1, math.log(1000) * math.sqrt(32)
    v = np.ones((512, 32), np.float32)
    v[0] = 0
    small = 511 / 1511
    # c is at least 32767: 1.511 is the sum of weights. 33 of its steps are a small weight.
    assert np.abs(attention(q, k, v, queries=1)[0] - small).max() <= 0.5 / 32.767 * small


def test_the_longest_text_does_not_overflow() -> None:
    """All weights alike, all values as large as can be, and of one sign."""
    q, v = np.zeros((WIDEST, 4), np.float32), np.ones((WIDEST, 4), np.float32)
    for sign in (1, -1):
        got = attention(q, q, sign * v, queries=1)[0]
        np.testing.assert_allclose(got, sign, rtol=1e-6)
    assert (WEIGHTS * (1 + 1e-5) + WIDEST / 2) * (VALUE_LEVELS + 0.5) < 2**31


def test_the_first_queries_alone_have_the_same_bits() -> None:
    q, k, v = (noise(50, 32, seed=n) for n in range(3))
    whole = attention(q, k, v)
    for queries in (1, 2, 9, 17, 49):
        assert attention(q, k, v, queries)[:queries].tobytes() == whole[:queries].tobytes()


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 17, 39])
@pytest.mark.parametrize("part", range(3))
def test_what_is_not_finite_is_not_lost(part: int, place: int, number: float) -> None:
    rows = [noise(40, 20, seed=n) for n in range(3)]
    rows[part][place, place % 20] = number
    with np.errstate(all="ignore"):
        got = attention(*rows)
    assert not np.isfinite(got).all(axis=1).any()


def test_rows_of_zeros_and_of_the_smallest_numbers() -> None:
    zeros, v = np.zeros((9, 16), np.float32), noise(9, 16)
    mean = v.astype(np.float64).mean(axis=0)
    for q, k in ((zeros, zeros), (zeros, noise(9, 16)), (zeros + np.float32(1e-41), zeros)):
        np.testing.assert_allclose(attention(q, k, v)[3], mean, rtol=0, atol=1e-3)
    assert not attention(zeros, zeros, zeros).any()


# the parts


@jit  # type: ignore[untyped-decorator]
def _exp2(x: Any, unit: Any, out: Any, n: Any) -> None:
    for i in range(0, n, LANES):
        store(out, i, integer_attention.exp2(load_f(x, i), splat(unit)))


def exp2(x: Array, unit: float) -> Array:
    out = np.empty_like(x)
    _exp2(address(x), np.float32(unit), address(out), len(x))
    return out


@pytest.mark.parametrize("unit", [1e-6, 0.1, 1.0, 3.0])
def test_exp2(unit: float) -> None:
    x = np.linspace(-99.9 / unit, 0, 100_000 // LANES * LANES, dtype=np.float32)
    expected = np.exp2(x.astype(np.float64) * float(np.float32(unit)))
    assert np.abs(exp2(x, unit) / expected - 1).max() <= 3e-6
    ends = [0, -100.1 / unit, -3e38, -np.inf, np.nan, -0.0]
    one, *nothing, nan, same = exp2(np.resize(np.array(ends, np.float32), 6 * LANES), unit)[:6]
    # 2^-100, or so: -100 / unit is rounded
    assert (one, same) == (1, 1) and all(0 < y < 1e-30 for y in nothing) and np.isnan(nan)


def test_exp2_of_a_unit_that_is_not_finite() -> None:
    x = np.array([-1, 0, -1e9, -0.0] * LANES, np.float32)
    assert np.isnan(exp2(x, np.nan)).all()
    assert not np.isfinite(exp2(x, np.inf)).any()


@jit  # type: ignore[untyped-decorator]
def _softmax(row: Any, length: Any, width: Any, unit: Any, share: Any) -> None:
    store(share, 0, integer_attention.softmax(row, length, width, unit))


@pytest.mark.parametrize("length", [1, 2, LANES, LANES + 1, 130, 512])
@pytest.mark.parametrize("unit", [0.0, 1e-7, 1e-5, 1e-3])
def test_weights_are_as_large_as_they_may_be_and_sum_to_1(length: int, unit: float) -> None:
    width = -(-length // 32) * 32
    sums = np.random.default_rng(3).integers(-(10**6), 10**6, width).astype(np.int32)
    sums[length:] = sums[length - 1]
    row, share = sums.copy(), np.empty(1, np.float32)
    _softmax(address(row), length, width, np.float32(unit), address(share))
    got = row.view(np.int16)[:width].astype(np.float64)
    weights = np.exp2(sums[:length].astype(np.float64) * unit)
    weights /= weights.max()
    c = min(32767, WEIGHTS / weights.sum())
    # half a step, and 3e-6 of exp2; float32 sums in exponents: 1e6 * unit * 2^-23
    largest_error = 0.5 + c * (3e-6 + 2e6 * unit * 2.0**-22)
    assert np.abs(got[:length] - c * weights).max() <= largest_error
    assert not got[length:].any()
    np.testing.assert_allclose(share[0] * got.sum(), 1, rtol=1e-6)
