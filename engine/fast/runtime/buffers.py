"""The structures of `fast.job` filled in for a model, and the memory of a batch."""

import ctypes
from collections.abc import Mapping

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engine.batch import PackedBatch
from engine.checkpoint.config import Config
from engine.errors import CheckpointError, EngineError
from engine.fast.codegen.loading import Encode
from engine.fast.job import (
    JOB,
    LAYER,
    POOLINGS,
    SCRATCH_AT,
    SPARE,
    TICKET_BYTES,
    WORKER,
    head_scratch,
)
from engine.fast.weights import quantize
from engine.fast.weights.packing import Shape

CLS = POOLINGS.index("cls")
BUDGET = 512  # tokens of a batch: enough that reading the weights costs little


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
                f"{config.positions} positions; the limit must be at most {config.positions}."
            )
        widest = shape.kind.widest
        for name, size in (
            ("hidden_size", config.hidden),
            ("intermediate_size", config.feed_forward),
            ("the token limit", config.max_tokens),
        ):
            if widest and size > widest:
                raise CheckpointError(
                    f"{name} is {size}; with {shape.precision} it must be at most {widest}, or "
                    'sums could overflow. Use precision="float32", which has no such limit.'
                )
        # Padded sizes: rows are whole vectors, with zeros behind the real numbers.
        self.width, self.wide = shape.width(config.hidden), shape.width(config.feed_forward)
        self.widest = max(self.width, self.wide)  # a row that a linear map reads is no wider
        # A text is never split, so a batch must hold the longest.
        self.budget = max(BUDGET, config.max_tokens)
        # Addresses are kept in these structures; the arrays themselves stay alive in `arrays`.
        self.layers = allocate((config.layers,), LAYER)
        self.job = np.zeros((), JOB)
        self._describe(threads)

    @property
    def worker_size(self) -> int:
        """Numbers (float32) of a WORKER and of scratch memory for a head, a tile or a row."""
        target, product = self.shape.target, self.shape.kind.product
        tokens, K = self.config.max_tokens, self.config.hidden // self.config.heads
        # A thread is in one task at a time, so these share the memory.
        name, numbers = self.shape.kind.attention
        rows, panel = target.tiles[name][0], target.panel(name)
        *_, head = head_scratch(tokens, K, rows, panel, numbers)
        tile = target.tiles[product][0] * target.panel(product)
        return SCRATCH_AT // 4 + max(head, tile, self.widest)

    def worker(self) -> NDArray[np.float32]:
        """Memory that one thread at a time computes in."""
        # float32, because nearly all of it is; the WORKER lies in the first numbers.
        return allocate((self.worker_size,), np.float32)

    def count_phases(self, encode: Encode) -> int:
        """The phases of a batch: without tickets, `encode` counts them and computes nothing."""
        # The job's `tickets` is 0 until Memory gives it some.
        job, worker = self.job.copy(), np.zeros((), WORKER)
        job["last"] = job.ctypes.data
        encode(job.ctypes.data, worker.ctypes.data)
        return int(worker["phase"])

    def _describe(self, threads: int) -> None:
        """Fills in what is the same for every batch."""
        job, config = self.job, self.config
        job["D"], job["D_width"], job["heads"] = config.hidden, self.width, config.heads
        job["eps"], job["threads"] = config.eps, threads
        job["layer_count"], job["layers"] = config.layers, self.layers.ctypes.data
        # "3.up.panels" -> layers[3]["up"]["panels"]; "embedding_norm.scale" -> job[...][...]
        for name, array in self.arrays.items():
            number, _, rest = name.partition(".")
            table, path = (self.layers[int(number)], rest) if number.isdigit() else (job, name)
            *folders, field = path.split(".")
            for folder in folders:
                table = table[folder]
            table[field] = array.ctypes.data
        # The widths that `packing` has padded the arrays to.
        for name, inputs, out_width in (
            ("qkv", config.hidden, 3 * self.width),
            ("attention_output", config.hidden, self.width),
            ("up", config.hidden, self.wide),
            ("down", config.feed_forward, self.width),
        ):
            self.layers[name]["width"] = self.shape.inputs(inputs)
            self.layers[name]["out_width"] = out_width
        for name, size in ("quantize_D", config.hidden), ("quantize_F", config.feed_forward):
            job[name]["width"] = self.shape.width(size)
            job[name]["block"] = quantize.block_size(size)
            job[name]["norm_limit"] = quantize.length_limit(size)
        # Kernels cannot call Python; this gives the core to another thread while they wait.
        yielding = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value
        job["sched_yield"] = yielding or 0


class Memory:
    """Room for one batch of at most `budget` tokens, and the job that points to it.

    Kernels read nothing that they, or `take`, have not written for the same batch; but `integers`
    behind the end of a row, where weights are 0.
    """

    def __init__(self, model: Model, phases: int) -> None:
        self.config, self.budget = model.config, model.budget
        tokens, width = model.budget, model.width
        self.job = allocate((), JOB)
        # A copy of its own: several batches may be under way at a time.
        self.job[()] = model.job
        self.last = allocate((), JOB)
        self.ids = self._array("ids", (tokens,), np.int32)
        self.positions = self._array("positions", (tokens,), np.int32)
        # Room for as many texts as tokens, the most that a batch can have.
        self.cu_seqlens = self._array("cu_seqlens", (tokens + 1,), np.int32)
        self.poolings = self._array("poolings", (tokens,), np.int32)
        self.x = self._rows("x", width)
        self.sums = self._rows("sums", width)
        self.qkv = self._rows("qkv", 3 * width)
        self.wide = self._rows("wide", model.wide)
        # One buffer for the input of every product: each is used up before the next is made.
        words = model.widest // model.shape.kind.numbers_a_word
        self.integers = self._rows("integers", words, tokens + tokens % 2)  # maybe read in pairs
        self.row_scales = self._array("row_scales", (tokens, 2), np.float32)
        self.out = self._array("out", (tokens, width), np.float32)
        self.tickets = self._array("tickets", (phases * TICKET_BYTES,), np.uint8)
        self.firsts = allocate((tokens + 1,), np.int32)
        self.firsts[:] = np.arange(tokens + 1)

    def take(self, batch: PackedBatch, poolings: NDArray[np.int32]) -> None:
        """Copies a batch of texts of one token or more, and what `poolings` says of each, in.

        EngineError if kernels would read outside of a table; callers have checked ids before, with
        better messages. ValueError if there is no room.
        """
        tokens, texts = len(batch.ids_T), len(poolings)
        self.job["tokens"], self.job["texts"] = tokens, texts
        self.ids[:tokens] = batch.ids_T
        self.positions[:tokens] = batch.positions_T
        self.cu_seqlens[: texts + 1] = batch.cu_seqlens
        self.poolings[:texts] = poolings
        # the last batch's counters
        self.tickets[:] = 0
        self._choose_last(poolings)
        # The last line of defence: an id outside would be read from foreign memory.
        ids = self.ids[:tokens].view(np.uint32)  # a negative number is a large one
        if ids.max() >= self.config.vocabulary:
            raise EngineError(f"token ids must be from 0 to {self.config.vocabulary - 1}.")
        if self.positions[:tokens].max() >= self.config.max_tokens:
            raise EngineError(
                f"a text has {self.positions[:tokens].max() + 1} tokens; it must have at most "
                f"{self.config.max_tokens} tokens."
            )

    def _choose_last(self, poolings: NDArray[np.int32]) -> None:
        """Which rows the last layer computes: all, or with cls pooling the first of each text."""
        self.job["last"] = self.job.ctypes.data
        if (poolings == CLS).all():
            job, last = self.job, self.last
            last[()] = job
            # A text of one token each, in buffers that nobody reads any more by then.
            last["tokens"], last["cu_seqlens"] = job["texts"], self.firsts.ctypes.data
            last["qkv"], last["x"], last["sums"] = job["sums"], job["qkv"], job["x"]
            job["last"] = last.ctypes.data

    def _rows(self, name: str, width: int, count: int = 0) -> NDArray[np.float32]:
        """A row for each token, or as many as `count` says."""
        rows = allocate((count or self.budget, width + SPARE), np.float32)
        self.job[name]["address"], self.job[name]["stride"] = rows.ctypes.data, width + SPARE
        return rows

    def _array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray:
        array = allocate(shape, dtype)
        self.job[name] = array.ctypes.data
        return array
