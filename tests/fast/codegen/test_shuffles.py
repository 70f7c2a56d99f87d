"""What moves between lanes, every lane, against numpy: equal bit by bit."""

import numpy as np
import pytest

from engine.fast.codegen import shuffles, simd
from engine.fast.codegen.constants import LANES
from engine.fast.kernels import jit
from tests.fast.codegen.test_simd import UNTOUCHED, run, same
from tests.fast.compiled import address


@pytest.mark.parametrize("count", range(1, LANES + 1))
def test_transpose_repeats_the_last_row(count: int) -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(source, stride, count, out, ldo):  # type: ignore[no-untyped-def]
        shuffles.transpose(source, stride, count, out, ldo)

    stride, ldo = LANES + 3, LANES + 2
    source = np.arange(count * stride, dtype=np.int32).reshape(count, stride)[:, :LANES].copy()
    rows = np.full((count, stride), UNTOUCHED, np.int32)
    rows[:, :LANES] = source
    out = np.full((LANES + 1, ldo), UNTOUCHED, np.int32)
    # its last row ends where the memory ends: no more than `count` rows may be read
    call(address(rows), stride, count, address(out), ldo)
    repeated = source[np.minimum(np.arange(LANES), count - 1)]
    assert np.array_equal(out[:LANES, :LANES], repeated.T)
    assert (out[LANES:] == UNTOUCHED).all() and (out[:, LANES:] == UNTOUCHED).all()


def test_hadamard_within_a_vector() -> None:
    """Entry (i, j) of the matrix is -1 to the number of ones that i and j share."""

    @jit  # type: ignore[untyped-decorator]
    def call(x, out, n):  # type: ignore[no-untyped-def]
        for i in range(0, n, LANES):
            simd.store(out, i, shuffles.hadamard_lanes(simd.load_f(x, i)))

    matrix = [[(-1) ** (i & j).bit_count() for j in range(LANES)] for i in range(LANES)]
    noise = np.random.default_rng(5).integers(-1000, 1001, (10, LANES))
    x = np.concatenate([np.eye(LANES, dtype=int), noise])
    got = run(call, x.astype(np.float32).reshape(-1), out=np.float32)
    assert same(got, (x @ matrix).astype(np.float32).reshape(-1))
