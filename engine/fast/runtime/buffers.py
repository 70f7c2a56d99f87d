"""The tables through which Python speaks to the compiled `encode`, and the memory of a batch."""

import ctypes
from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine.batch import PackedBatch
from engine.checkpoint.config import Config
from engine.errors import CheckpointError, EngineError
from engine.fast import job as at
from engine.fast.codegen.target import NUMBERS_A_WORD
from engine.fast.weights import quantize
from engine.fast.weights.packing import Shape
from engine.fast.weights.quantize import WIDEST

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


def allocate(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
    """Zeros. All memory of compiled code but the weights comes from here, for tests to fence it."""
    return np.zeros(shape, dtype)


class Model:
    """What all batches share: sizes, addresses of the weights, the memory that a batch needs."""

    def __init__(
        self, arrays: Mapping[str, NDArray], config: Config, shape: Shape, threads: int
    ) -> None:
        """CheckpointError if the kernels cannot compute a model of these sizes."""
        self.arrays, self.config, self.shape = arrays, config, shape
        if config.max_tokens > config.positions:
            raise CheckpointError(
                f"the token limit is {config.max_tokens}, but the model has only "
                f"{config.positions} positions; the limit may be at most that."
            )
        if shape.precision != "float32" and max(config.hidden, config.feed_forward) > WIDEST:
            raise CheckpointError(
                f"hidden_size {config.hidden}, intermediate_size {config.feed_forward}: sums of "
                f"{shape.precision} could overflow over {WIDEST}; "
                'precision="float32" computes any size.'
            )
        self.width, self.wide = shape.width(config.hidden), shape.width(config.feed_forward)
        self.widest = max(self.width, self.wide)  # a row that a linear map reads is no wider
        self.budget = max(BUDGET, config.max_tokens)
        self.steps = at.STEPS_BEFORE + at.STEPS_A_LAYER * config.layers + at.STEPS_AFTER
        self.layers = self._layer_tables()
        self.job = self._job()
        self.job[at.THREADS] = threads

    @property
    def scratch_size(self) -> int:
        """Numbers (float32) that one thread needs: for a head, a tile, or a row."""
        target, precision = self.shape.target, self.shape.precision
        tokens, K = self.config.max_tokens, self.config.hidden // self.config.heads
        *_, head = at.head_scratch(
            tokens, K, target.tiles["attention"][0], target.panel("attention")
        )
        return max(head, target.tiles[precision][0] * target.panel(precision), self.widest)

    def scratch(self) -> NDArray[np.float32]:
        """Memory that one thread at a time computes in."""
        return allocate((self.scratch_size,), np.float32)

    def _layer_tables(self) -> NDArray[np.int64]:
        tables = allocate((self.config.layers, at.LAYER_SIZE), np.int64)
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

    Kernels read nothing that they, or `take`, have not written for the same batch.
    """

    def __init__(self, model: Model) -> None:
        self.config, self.budget = model.config, model.budget
        tokens, width = model.budget, model.width
        self.job = allocate((at.JOB_SIZE,), np.int64)
        self.job[:] = model.job
        self.ids = self._array(at.IDS, (tokens,), np.int32)
        self.positions = self._array(at.POSITIONS, (tokens,), np.int32)
        self.cu_seqlens = self._array(at.CU_SEQLENS, (tokens + 1,), np.int32)
        self.poolings = self._array(at.POOLINGS, (tokens,), np.int32)
        self.x = self._rows(at.X, at.X_STRIDE, width)
        self.sums = self._rows(at.SUMS, at.X_STRIDE, width)
        self.qkv = self._rows(at.QKV, at.QKV_STRIDE, 3 * width)
        self.wide = self._rows(at.WIDE, at.WIDE_STRIDE, model.wide)
        words = model.widest // NUMBERS_A_WORD[model.shape.precision]
        self.integers = self._rows(at.INTEGERS, at.INTEGERS_STRIDE, words)
        self.row_scales = self._array(at.ROW_SCALES, (tokens, 2), np.float32)
        self.out = self._array(at.OUT, (tokens, width), np.float32)
        self.tickets = self._array(at.TICKETS, (model.steps * at.TICKET_BYTES,), np.uint8)

    def take(self, batch: PackedBatch, poolings: NDArray[np.int32]) -> None:
        """Copies a batch of texts of one token or more, and what `poolings` says of each, in.

        EngineError if kernels would read outside of a table; callers have checked ids before, with
        better messages. ValueError if there is no room.
        """
        tokens, texts = len(batch.ids_T), len(poolings)
        self.job[at.TOKENS], self.job[at.TEXTS] = tokens, texts
        self.ids[:tokens] = batch.ids_T
        self.positions[:tokens] = batch.positions_T
        self.cu_seqlens[: texts + 1] = batch.cu_seqlens
        self.poolings[:texts] = poolings
        self.tickets[:] = 0
        ids = self.ids[:tokens].view(np.uint32)  # a negative number is a large one
        if ids.max() >= self.config.vocabulary:
            raise EngineError(f"token ids must be from 0 to {self.config.vocabulary - 1}.")
        if self.positions[:tokens].max() >= self.config.max_tokens:
            raise EngineError(f"a text may have at most {self.config.max_tokens} tokens.")

    def _rows(self, place: int, stride: int, width: int) -> NDArray[np.float32]:
        """A row for each token."""
        self.job[stride] = width + at.SPARE
        return self._array(place, (self.budget, width + at.SPARE), np.float32)

    def _array(self, place: int, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        array = allocate(shape, dtype)
        self.job[place] = array.ctypes.data
        return array
