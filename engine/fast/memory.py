"""The tables through which Python speaks to the compiled `encode`, and the memory of a batch."""

import ctypes
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.batch import PackedBatch
from engine.config import Config
from engine.fast import layout as at
from engine.fast import quantize
from engine.fast.layout import SPARE
from engine.fast.pack import Shape
from engine.fast.target import NUMBERS_A_WORD

POOLINGS = {"mean": at.MEAN, "cls": at.CLS}
BUDGET = 512  # tokens of a batch: enough that reading the weights costs little

MAPS = {"qkv": at.TO_QKV, "heads": at.FROM_HEADS, "up": at.UP, "down": at.DOWN}
FIELDS = {"panels": at.PANELS, "bias": at.BIAS, "scales": at.SCALES, "offsets": at.OFFSETS}
NORMS = {
    "norm1.scale": at.NORM1_SCALE,
    "norm1.shift": at.NORM1_SHIFT,
    "norm2.scale": at.NORM2_SCALE,
    "norm2.shift": at.NORM2_SHIFT,
}
SHARED = {
    "word": at.WORD,
    "position": at.POSITION,
    "token_type": at.TOKEN_TYPE,
    "embed_scale": at.EMBED_SCALE,
    "embed_shift": at.EMBED_SHIFT,
    "signs": at.SIGNS,
}


class Model:
    """What all batches share: sizes, addresses of the weights, the memory that a batch needs."""

    def __init__(
        self, arrays: Mapping[str, NDArray], config: Config, shape: Shape, threads: int
    ) -> None:
        self.arrays, self.config, self.shape = arrays, config, shape
        self.width, self.wide = shape.width(config.hidden), shape.width(config.feed_forward)
        self.budget = max(BUDGET, config.max_tokens)
        self.steps = at.STEPS_BEFORE + at.STEPS_A_LAYER * config.layers + at.STEPS_AFTER
        self.layers = self._layer_tables()
        self.job = self._job()
        self.job[at.THREADS] = threads

    @property
    def scratch_size(self) -> int:
        """Floats that one thread needs: for a head, a tile, or a row."""
        target, precision = self.shape.target, self.shape.precision
        tokens, K = self.config.max_tokens, self.config.hidden // self.config.heads
        *_, head = at.head_scratch(
            tokens, K, target.tiles["attention"][0], target.panel("attention")
        )
        tile = target.tiles[precision][0] * target.panel(precision)
        return max(head, tile, self.wide) + SPARE

    def _layer_tables(self) -> NDArray[np.int64]:
        tables = np.zeros((self.config.layers, at.LAYER_SIZE), np.int64)
        for name, array in self.arrays.items():
            number, _, rest = name.partition(".")
            if not number.isdigit():
                continue
            linear, _, field = rest.partition(".")
            place = NORMS[rest] if rest in NORMS else MAPS[linear] + FIELDS[field]
            tables[int(number), place] = array.ctypes.data
        return tables

    def _job(self) -> NDArray[np.int64]:
        """The places of a job that are the same for every batch."""
        job, config, lanes = np.zeros(at.JOB_SIZE, np.int64), self.config, self.shape.target.lanes
        job[at.D], job[at.D_WIDTH], job[at.F_WIDTH] = config.hidden, self.width, self.wide
        job[at.HEADS], job[at.LAYER_COUNT] = config.heads, config.layers
        job.view(np.float32)[2 * at.EPS] = config.eps
        for name, place in SHARED.items():
            job[place] = self.arrays[name].ctypes.data
        job[at.LAYERS] = self.layers.ctypes.data
        job[at.BLOCK_D] = quantize.block_size(config.hidden, lanes)
        job[at.BLOCK_F] = quantize.block_size(config.feed_forward, lanes)
        job[at.NORM_D] = quantize.length_limit(config.hidden)
        job[at.NORM_F] = quantize.length_limit(config.feed_forward)
        job[at.YIELD] = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
        return job


class Memory:
    """Room for one batch of at most `budget` tokens, and the job's table that points to it.

    Zeros at first: what lies behind the numbers of a row is never written.
    """

    def __init__(self, model: Model) -> None:
        tokens, width, wide = model.budget, model.width, model.wide
        a_word = NUMBERS_A_WORD[model.shape.precision]
        self.job = model.job.copy()
        self.x = self._room(at.X, at.X_STRIDE, tokens, width)
        self.sums = self._room(at.SUMS, at.X_STRIDE, tokens, width)
        self.qkv = self._room(at.QKV, at.QKV_STRIDE, tokens + 1, 3 * width)
        self.wide = self._room(at.WIDE, at.WIDE_STRIDE, tokens, wide)
        self.integers = self._room(at.INTEGERS, at.INTEGERS_STRIDE, tokens, wide // a_word)
        self.row_scales = self._array(at.ROW_SCALES, np.zeros((tokens, 2), np.float32))
        self.out = self._array(at.OUT, np.zeros((tokens, width), np.float32))
        self.tickets = self._array(at.TICKETS, np.zeros(model.steps * at.TICKET_BYTES, np.uint8))
        self.inputs: list[NDArray[np.int32]] = []

    def take(self, batch: PackedBatch, poolings: NDArray[np.int32]) -> None:
        """Points the job to a batch; nothing of the last one matters any more."""
        self.job[at.TOKENS], self.job[at.TEXTS] = len(batch.ids_T), len(poolings)
        self.inputs = [batch.ids_T, batch.positions_T, batch.cu_seqlens, poolings]
        places = (at.IDS, at.POSITIONS, at.CU_SEQLENS, at.POOLINGS)
        for place, array in zip(places, self.inputs, strict=True):
            self._array(place, array)
        self.tickets[:] = 0

    def _room(self, place: int, stride: int, rows: int, width: int) -> NDArray[np.float32]:
        self.job[stride] = width + SPARE
        return self._array(place, np.zeros((rows, width + SPARE), np.float32))

    def _array(self, place: int, array: NDArray) -> NDArray:
        self.job[place] = array.ctypes.data
        return array
