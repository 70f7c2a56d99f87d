"""The precisions: what each packs of a linear map gives the map back, within its rounding."""

import numpy as np
import pytest

from engine.fast.codegen.target import TARGETS
from engine.fast.weights import quantize
from engine.fast.weights.precisions import PRECISIONS
from engine.literals import PRECISIONS as NAMES

FACTORS = np.ones(64, np.float32)
FACTORS[7] = 16
W_OI = np.random.default_rng(5).normal(0, 0.05, (8, 64)).astype(np.float32)


def test_every_precision_of_the_public_list_is_compiled_but_the_reference() -> None:
    assert set(PRECISIONS) == set(NAMES) - {"reference"}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("name", PRECISIONS)
def test_scales_times_integers_are_the_weights(name: str, target) -> None:
    packed = PRECISIONS[name].pack(W_OI, 64, FACTORS, target)
    panels = packed["panels"]
    assert panels.itemsize == 4 // PRECISIONS[name].numbers_a_word
    scales = packed.get("scales", np.ones(8, np.float32))
    expected = W_OI
    if name == "int8":
        expected = quantize.rotate(W_OI * FACTORS, quantize.block_size(64))
        sums = panels.astype(np.int64).sum(axis=1)
        assert np.allclose(packed["offsets"], scales * sums, rtol=1e-6, atol=0)
        assert np.array_equal(packed.get("missing", 0 * sums), target.offset * sums)
    # Half an integer is the rounding; 1e-6 is that of float32 scales.
    error = np.abs(scales[:, None] * panels.astype(np.float64) - expected)
    assert (error <= 0.5 * scales[:, None] * (1 + 1e-4) * (name != "float32")).all()


def test_only_integers_have_a_widest_row() -> None:
    widest = {name: precision.widest for name, precision in PRECISIONS.items()}
    assert widest == {"float32": None, "int16": quantize.WIDEST, "int8": quantize.WIDEST}
