"""Seeded checkpoints: attention far from uniform, and the same bits on every machine."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import model
from tests.conftest import Load
from tests.support.golden import golden
from tests.support.synthetic import Drawing, Sizes

Array = NDArray[Any]


def test_seeded_weights_are_far_from_uniform_attention(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every layer of the BGE shape: a test whose attention is uniform proves nothing of it.

    Uniform attention has the entropy log L, and its largest share is 1 / L.
    """
    largest, entropies = [], []

    def spied(scores_HLL: Array) -> Array:
        shares_HLL = softmax(scores_HLL)
        entropy = -(shares_HLL * np.log(shares_HLL + 1e-30)).sum(axis=-1).mean()
        entropies.append(entropy / math.log(shares_HLL.shape[-1]))
        largest.append(shares_HLL.max(axis=-1).mean() * shares_HLL.shape[-1])
        return shares_HLL

    softmax = model.softmax
    monkeypatch.setattr(model, "softmax", spied)
    embedder = load("bge_shape", "reference")
    text = next(t for t in golden("bge_shape").texts if 30 < len(t.split()) < 60)
    embedder.encode(text)
    assert len(entropies) == 12
    assert max(entropies) < 0.75 and np.mean(entropies) < 0.6
    assert min(largest) > 5 and np.mean(largest) > 10


def test_seeded_weights_are_the_same_bits_everywhere() -> None:
    """Integers, exact in float32, and one rounding: the first two of seed 1, by hand."""
    drawing = Drawing(Sizes(3, 1, 1, 1, 1, 1), seed=1, sharpness=1.0)
    words = [int(word) for word in np.random.PCG64(1).random_raw(2)]
    sums = [sum((word >> shift) & 0xFFFF for shift in (0, 16, 32, 48)) for word in words]
    expected = [np.float32(total - 131070) * SCALE for total in sums]
    assert drawing.normal(0.05, 1, 2).tolist() == [expected]


SCALE = np.float32(0.05 * math.sqrt(3) / 2**16)
