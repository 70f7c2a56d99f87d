"""Weights so large that sums overflow: a vector is right, or it is not finite and is refused.

Never finite and wrong. A single NaN can be lost where numbers are compared, and infinity where one
divides by it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import model
from engine.batch import PackedBatch
from engine.checkpoint.weights import Layer, Linear, Weights
from engine.fast.codegen.target import host_target
from engine.fast.runtime import buffers
from engine.fast.weights import packing, prepared
from tests.fast import compiled as fast
from tests.fast.guard import BARS, Drawing, Example, widened

Array = NDArray[np.float32]
STRANGE = [np.nan, np.inf, -np.inf]
PLACES = [0, 1, 17, 62, 63]
WIDTH = 64

each_strange_number = pytest.mark.parametrize("number", STRANGE)
each_place = pytest.mark.parametrize("place", PLACES)


def row(place: int, number: float) -> Array:
    x = np.random.default_rng(place).standard_normal(WIDTH).astype(np.float32)
    x[place] = number
    return x


# kernels


def test_exp_and_gelu_keep_nan() -> None:
    assert np.isnan(fast.exp(np.full(1, np.nan))).all()
    assert not np.isfinite(fast.gelu(np.array(STRANGE))).any()


@each_place
@each_strange_number
def test_layer_norm_keeps_what_is_not_finite(number: float, place: int) -> None:
    ones = np.ones(WIDTH, np.float32)
    assert np.isnan(fast.layer_norm(row(place, number), ones, ones)).all()


@pytest.mark.parametrize("number", [1e20, -1e30, 3e38])
def test_layer_norm_whose_squares_overflow_is_not_the_shift(number: float) -> None:
    ones = np.ones(WIDTH, np.float32)
    assert np.isnan(fast.layer_norm(row(5, number), ones, ones)).all()


@each_place
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_softmax_keeps_what_is_not_finite(number: float, place: int) -> None:
    assert np.isnan(fast.softmax(row(place, number), 1.0, WIDTH)).all()


def test_softmax_of_scores_that_overflow_downwards() -> None:
    """Their share is 0, which is right, unless all do."""
    x = row(3, -np.inf)
    assert fast.softmax(x, 1.0, WIDTH)[3] == 0
    assert abs(fast.softmax(x, 1.0, WIDTH).sum() - 1) < 1e-6
    assert np.isnan(fast.softmax(np.full(WIDTH, -np.inf, np.float32), 1.0, WIDTH)).all()


def test_softmax_of_the_lowest_scores() -> None:
    """Lower than any number that might stand for what is behind the last score."""
    for length in (1, 3, 60):
        x = np.full(length, -3.4e38, np.float32)
        np.testing.assert_allclose(fast.softmax(x, 1.0, WIDTH), 1 / length, rtol=1e-6)


@each_place
@each_strange_number
def test_integers_of_what_is_not_finite_have_no_finite_scale(number: float, place: int) -> None:
    assert not np.isfinite(fast.quantize_int16(row(place, number), 46000)[1])
    assert not np.isfinite(fast.quantize_int8(row(place, number))[1])


def test_int16_of_rows_whose_squares_overflow_have_no_finite_scale() -> None:
    for number in (2e19, 3e38):
        assert not np.isfinite(fast.quantize_int16(row(1, number), 46000)[1])


# the whole encoder

SHAPE = Example(2, 32, 40, 2, vocabulary=50, lengths=(9,), max_tokens=9, positions=9)
MAPS = ("value", "attention_output", "up", "down")


@cache
def kernels(precision: str) -> Callable[[int, int], None]:
    return prepared.kernels(packing.Shape(host_target(), precision))


def compute(weights: Weights, batch: PackedBatch, precision: str) -> tuple[Array, Array]:
    """The last hidden state and the mean of each text."""
    kind, texts = packing.Shape(host_target(), precision), len(batch.cu_seqlens) - 1
    with np.errstate(over="ignore"):
        built = buffers.Model(dict(packing.packed(weights, kind)), SHAPE.config, kind, threads=1)
    encode = kernels(precision)
    room, worker = buffers.Memory(built, built.count_phases(encode)), built.worker()
    room.take(batch, np.zeros(texts, np.int32))
    encode(room.job.ctypes.data, worker.ctypes.data)
    D = SHAPE.config.hidden
    return room.x[: len(batch.ids_T), :D].copy(), room.out[:texts, :D].copy()


def enlarged(weights: Weights, name: str, places: slice, power: int) -> Weights:
    """Some columns of a map of the first layer times 10^power, up to the largest float32."""
    first: Layer = weights.layers[0]
    linear: Linear = getattr(first, name)
    w_OI, largest = linear.w_OI.astype(np.float64), np.finfo(np.float32).max
    w_OI[:, places] *= 10.0**power
    changed = Linear(np.clip(w_OI, -largest, largest).astype(np.float32), linear.b)
    return replace(weights, layers=(replace(first, **{name: changed}), *weights.layers[1:]))


@pytest.mark.parametrize("places", [slice(None), slice(3, 4)], ids=["all", "one"])
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("precision", BARS)
def test_large_weights_give_right_vectors_or_none(precision: str, name: str, places: slice) -> None:
    drawing = Drawing(SHAPE)
    weights, batch = drawing.weights(), drawing.batch()
    right = 0
    for power in range(39):
        large = enlarged(weights, name, places, power)
        x_TD, pooled_SD = compute(large, batch, precision)
        want = model.encode(batch, widened(large), SHAPE.heads, SHAPE.config.eps)
        if np.isfinite(x_TD).all():
            BARS[precision].hold(x_TD, want)
            right += 1
        else:
            assert not np.isfinite(pooled_SD).all()
    assert right >= 15


@pytest.mark.parametrize("precision", BARS)
def test_a_text_that_overflows_leaves_its_neighbours_alone(precision: str) -> None:
    weights = Drawing(SHAPE).weights()
    weights.word_VD[7] *= np.float32(1e30)
    texts = [np.array(ids, np.int32) for ids in ([1, 2, 3], [4, 7, 5], [6, 8])]
    _, together = compute(weights, PackedBatch.of(texts), precision)
    assert np.isnan(together[1]).all()
    for s in (0, 2):
        _, alone = compute(weights, PackedBatch.of([texts[s]]), precision)
        assert np.isfinite(alone).all() and together[s].tobytes() == alone[0].tobytes()
