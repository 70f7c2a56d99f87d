"""The compiled encoder against `engine.model` in float64: layer by layer, in every precision.

The model is random, of odd sizes, with sharp attention and outliers: nothing hides.
"""

from dataclasses import fields, is_dataclass, replace
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine import model
from engine.batch import PackedBatch
from engine.checkpoint.config import Config, read_config
from engine.checkpoint.weights import Weights, load_weights
from engine.fast.codegen.target import host_target
from engine.fast.job import POOLINGS, TICKET_BYTES
from engine.fast.runtime.buffers import Memory, Model
from engine.fast.weights import prepared
from engine.fast.weights.packing import Shape, packed
from tests.fast.compiled import address
from tests.support.synthetic import write_checkpoint

Array = NDArray[Any]

SIZES = {"hidden": 36, "layers": 3, "heads": 3, "ffn": 88, "vocab": 242, "positions": 70}
BATCHES = [(1,), (2,), (3, 1), (17,), (70,), (5, 1, 16, 33), (1,) * 40, (70, 64, 70, 1, 70)]
# of the largest number of a hidden state
BARS = {"float32": 1e-6, "int16": 4e-4, "int8": 3e-2}
each_precision = pytest.mark.parametrize("precision", BARS)
each_batch = pytest.mark.parametrize("lengths", BATCHES, ids=lambda x: f"{len(x)} of {max(x)}")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Weights]:
    folder = write_checkpoint(tmp_path_factory.mktemp("encoder"), seed=36, **SIZES)
    config = read_config(folder)
    return config, load_weights(folder, config)


class Encoder:
    """The first layers of a checkpoint, one batch at a time, in the thread that calls."""

    def __init__(self, config: Config, weights: Weights, precision: str, layers: int) -> None:
        shape = Shape(host_target(), precision)
        self.encode = prepared.kernels(shape)
        arrays = {
            name: array
            for name, array in packed(weights, shape)
            if not name[0].isdigit() or int(name.partition(".")[0]) < layers
        }
        self.model = Model(arrays, replace(config, layers=layers), shape, threads=1)
        self.phases = self.model.count_phases(self.encode)
        self.hidden, self.memory = config.hidden, Memory(self.model, self.phases)

    def run(self, batch: PackedBatch, poolings: list[str]) -> tuple[Array, Array]:
        """The hidden states x_TD, and what is pooled of each text."""
        self.memory.take(batch, np.array([POOLINGS.index(name) for name in poolings], np.int32))
        worker = self.model.worker()
        self.encode(address(self.memory.job), address(worker))
        tokens, texts = len(batch.ids_T), len(poolings)
        return self.memory.x[:tokens, : self.hidden], self.memory.out[:texts, : self.hidden]


def batch_of(lengths: tuple[int, ...]) -> PackedBatch:
    draw = np.random.default_rng(lengths)
    return PackedBatch.of([draw.integers(0, 242, n).astype(np.int32) for n in lengths])


def wide(part: Any) -> Any:
    """The same weights in float64."""
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{f.name: wide(getattr(part, f.name)) for f in fields(part)})
    return tuple(map(wide, part)) if isinstance(part, tuple) else part.astype(np.float64)


def exact(checkpoint: tuple[Config, Weights], batch: PackedBatch, layers: int) -> Array:
    config, weights = checkpoint
    some = replace(wide(weights), layers=wide(weights).layers[:layers])
    return np.asarray(model.encode(batch, some, config.heads, config.eps))


@each_precision
@each_batch
def test_hidden_states_layer_by_layer(
    precision: str, lengths: tuple[int, ...], checkpoint: tuple[Config, Weights]
) -> None:
    """No layer at all is the embedding alone."""
    batch = batch_of(lengths)
    for layers in range(SIZES["layers"] + 1):
        encoder = Encoder(*checkpoint, precision, layers)
        got, _ = encoder.run(batch, ["mean"] * len(lengths))
        expected = exact(checkpoint, batch, layers)
        bar = BARS["float32"] if layers == 0 else BARS[precision]
        assert np.abs(got - expected).max() <= bar * np.abs(expected).max()


@each_precision
@each_batch
def test_pooling_of_each_text(
    precision: str, lengths: tuple[int, ...], checkpoint: tuple[Config, Weights]
) -> None:
    """The mean of its own tokens, or its first token alone."""
    batch, poolings = batch_of(lengths), ["mean", "cls", "cls"] * len(lengths)
    states, _ = Encoder(*checkpoint, precision, 1).run(batch, ["mean"] * len(lengths))
    for names in poolings[: len(lengths)], poolings[1 : len(lengths) + 1]:
        _, got = Encoder(*checkpoint, precision, 1).run(batch, names)
        for text, name in enumerate(names):
            tokens = states[batch.cu_seqlens[text] : batch.cu_seqlens[text + 1]].astype(np.float64)
            expected = tokens[0] if name == "cls" else tokens.mean(axis=0)
            np.testing.assert_allclose(got[text], expected, rtol=1e-5, atol=1e-6)
            assert name == "mean" or np.array_equal(got[text], tokens[0])


@each_precision
def test_every_phase_has_counters_and_does_all_its_tasks(
    precision: str, checkpoint: tuple[Config, Weights]
) -> None:
    """What only integers need is left out in float32; first tokens are taken for cls alone."""
    encoder, a_layer = Encoder(*checkpoint, precision, SIZES["layers"]), 8
    a_layer += 0 if precision == "float32" else 2
    for pooling in "mean", "cls":
        encoder.run(batch_of((5, 17)), [pooling] * 2)
        taken, done = encoder.memory.tickets.view(np.int64).reshape(-1, TICKET_BYTES // 8)[:, :2].T
        assert encoder.phases == len(taken) == 1 + a_layer * SIZES["layers"] + 1
        idle = list(range(3, len(done) - 1, a_layer))  # after the embedding, qkv and attention
        assert np.flatnonzero(done == 0).tolist() == idle[: None if pooling == "mean" else -1]
        assert (taken == done + 1).all()
        assert done[0] == 11 and done[-1] == 2  # 22 tokens, two a task; two texts
        assert done[-2] == (11 if pooling == "mean" else 1)  # the last layer norm


@each_precision
def test_several_threads_over_one_job(precision: str, checkpoint: tuple[Config, Weights]) -> None:
    """The same bits as of one."""
    batch, names = batch_of((70, 3, 1, 40, 64)), ["mean"] * 5
    encoder = Encoder(*checkpoint, precision, SIZES["layers"])
    states, pooled = (array.copy() for array in encoder.run(batch, names))
    for _ in range(10):
        memory = Memory(encoder.model, encoder.phases)
        memory.take(batch, np.zeros(5, np.int32))
        workers = [encoder.model.worker() for _ in range(3)]
        threads = [
            Thread(target=encoder.encode, args=(address(memory.job), address(each)))
            for each in workers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert np.array_equal(memory.x[: len(states), : encoder.hidden], states)
        assert np.array_equal(memory.out[:5, : encoder.hidden], pooled)
