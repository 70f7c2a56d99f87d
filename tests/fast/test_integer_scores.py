"""Queries and keys as integers, seen in what attention makes of them."""

import numpy as np

from tests.fast.test_integer_attention import TYPICAL, attention
from tests.fast.test_kernels import exact_attention, noise


def test_uneven_columns_and_what_all_keys_share_cost_no_accuracy() -> None:
    q, k, v = (noise(130, 32, seed=n) for n in range(3))
    factors = np.exp2(np.arange(32) % 15 - 7).astype(np.float32)
    q, k = q / factors, k * factors + 50 * factors * noise(1, 32, seed=3)
    error = np.abs(attention(q, k, v) - exact_attention(q, k, v)).max()
    assert error <= TYPICAL * np.abs(v).max()


def test_the_largest_products_of_queries_and_keys_do_not_overflow() -> None:
    """One direction of all rows: Cauchy and Schwarz's bound is reached."""
    for K in (1, 2, 32, 64):
        q = np.full((33, K), 3e4, np.float32)
        k, v = q / 3e8, noise(33, K)
        k[5] *= -1
        k[9] *= 2
        np.testing.assert_allclose(
            attention(q, k, v), exact_attention(q, k, v), rtol=0, atol=2e-3 * np.abs(v).max()
        )
