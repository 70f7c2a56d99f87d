"""What `Model` and `Memory` refuse: the last check before compiled code."""

from dataclasses import replace

import numpy as np
import pytest

from engine.batch import PackedBatch
from engine.errors import CheckpointError, EngineError
from engine.fast.codegen.target import host_target
from engine.fast.runtime import buffers
from engine.fast.weights import packing, quantize
from tests.fast.guard import Drawing, Example

SHAPE = Example(2, 8, 4, 1, vocabulary=9, lengths=(3, 2), max_tokens=5, positions=6)
KINDS = {precision: packing.Shape(host_target(), precision) for precision in ("float32", "int8")}


def model_of(shape: Example = SHAPE, precision: str = "int8", **changes: int) -> buffers.Model:
    arrays = dict(packing.packed(Drawing(shape).weights(), KINDS[precision]))
    return buffers.Model(arrays, replace(shape.config, **changes), KINDS[precision], threads=1)


def batch(*texts: list[int]) -> PackedBatch:
    return PackedBatch.of([np.array(ids, np.int32) for ids in texts])


def take(*texts: list[int]) -> buffers.Memory:
    room = buffers.Memory(model_of(), phases=1)
    room.take(batch(*texts), np.zeros(len(texts), np.int32))
    return room


def test_a_batch_is_copied() -> None:
    room = take([8, 0, 1], [7, 2])
    assert room.ids[:5].tolist() == [8, 0, 1, 7, 2]
    assert room.positions[:5].tolist() == [0, 1, 2, 0, 1]
    assert room.cu_seqlens[:3].tolist() == [0, 3, 5]
    assert room.ids.dtype == room.positions.dtype == room.cu_seqlens.dtype == np.int32


@pytest.mark.parametrize("id", [-1, -(2**31), 9, 2**31 - 1])
def test_an_id_outside_of_the_table_is_refused(id: int) -> None:
    with pytest.raises(EngineError, match="from 0 to 8"):
        take([1, 2], [3, id])


def test_a_text_over_the_limit_is_refused() -> None:
    take([1] * 5)
    with pytest.raises(EngineError, match="at most 5 tokens"):
        take([1], [1] * 6)


def test_more_tokens_than_there_is_room_for_are_refused() -> None:
    texts = [[1] * 5] * (buffers.BUDGET // 5)
    take(*texts)
    with pytest.raises(ValueError, match="broadcast"):
        take(*texts, [1] * 5)


def test_a_limit_over_the_positions_is_refused() -> None:
    model_of(max_tokens=6)
    with pytest.raises(CheckpointError, match="limit is 7, but the model has only 6 positions"):
        model_of(max_tokens=7)


@pytest.mark.parametrize("name", ["hidden", "feed_forward"])
def test_rows_whose_sums_could_overflow_are_refused(name: str) -> None:
    model_of(**{name: quantize.WIDEST})
    with pytest.raises(CheckpointError, match=r'32769.*at most 32768.*precision="float32"'):
        model_of(**{name: quantize.WIDEST + 1})
    model_of(**{name: quantize.WIDEST + 1}, precision="float32")


def test_texts_whose_sums_could_overflow_are_refused() -> None:
    """Attention sums along the tokens of a text."""
    longest = {"max_tokens": quantize.WIDEST, "positions": quantize.WIDEST + 1}
    model_of(**longest)
    longest["max_tokens"] += 1
    with pytest.raises(CheckpointError, match=r"token limit is 32769; with int8 .* at most 32768"):
        model_of(**longest)
    model_of(**longest, precision="float32")
