"""`FastEncoder`: texts as batches for the compiled `encode`, shared among a thread pool."""

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.batch import PackedBatch, plan
from engine.checkpoint.config import Config
from engine.fast.codegen.target import host_target
from engine.fast.job import POOLINGS
from engine.fast.runtime.buffers import Memory, Model, allocate
from engine.fast.runtime.thread_team import Job, Team, closed
from engine.fast.weights import prepared
from engine.fast.weights.packing import Shape

Array = NDArray[np.float32]
Ids = NDArray[np.int32]
Keep = Callable[[list[int], PackedBatch, Memory], None]


class FastEncoder:
    """The encoder behind "float32", "int16" and "int8". A text's bits depend on the text alone."""

    def __init__(self, folder: Path, config: Config, precision: str, threads: int) -> None:
        self.config = config
        shape = Shape(host_target(), precision)
        self.target, self.numerics = shape.target.name, shape.numerics
        self._encode = prepared.kernels(shape)
        model = Model(prepared.weights(folder, config, shape), config, shape, threads)
        self._model: Model | None = model
        self._phases = model.count_phases(self._encode)
        self._team = Team(threads, partial(allocate, (model.worker_size,), np.float32))
        # Buffers of finished batches, used again: making them anew costs page faults.
        self._free: list[Memory] = []
        # An encoder that nobody refers to ends its threads, without waiting for them.
        weakref.finalize(self, self._team.dismiss).atexit = False

    def pooled(self, ids: Sequence[Ids], poolings: Sequence[str]) -> Array:
        """One vector for each text, not normalised: (n, D)."""
        out = np.empty((len(ids), self.config.hidden), np.float32)

        def keep(texts: list[int], batch: PackedBatch, memory: Memory) -> None:
            # Called once for a batch, by the thread that finished it. Batches have different texts,
            # so no two threads write the same rows.
            out[texts] = memory.out[: len(texts), : self.config.hidden]

        self._run(ids, poolings, keep)
        return out

    def hidden(self, ids: Sequence[Ids]) -> list[Array]:
        """The last hidden state (L, D) of each text."""
        # by text, because batches end in any order
        out: dict[int, Array] = {}

        def keep(texts: list[int], batch: PackedBatch, memory: Memory) -> None:
            # a copy, because the memory serves the next batch
            x_TD = memory.x[: len(batch.ids_T), : self.config.hidden].copy()
            out.update(zip(texts, np.split(x_TD, batch.cu_seqlens[1:-1]), strict=True))

        self._run(ids, ["mean"] * len(ids), keep)
        return [out[i] for i in range(len(ids))]

    def close(self) -> None:
        """Ends the threads and lets go of the weights."""
        self._team.close()
        self._free.clear()
        self._model = None  # running jobs keep their own reference

    def _run(self, ids: Sequence[Ids], poolings: Sequence[str], keep: Keep) -> None:
        model = self._model
        if model is None:
            raise closed()
        names = np.array([POOLINGS.index(name) for name in poolings], np.int32)
        # Longest texts first, so that threads which share the batches end together.
        batches = plan([len(one) for one in ids], model.budget)
        self._team.run([self._job(model, texts, ids, names, keep) for texts in batches])

    def _job(
        self, model: Model, texts: list[int], ids: Sequence[Ids], poolings: Ids, keep: Keep
    ) -> Job:
        """A batch. It has memory only while it is under way."""
        batch: PackedBatch
        memory: Memory | None = None

        def begin() -> None:
            nonlocal batch, memory
            batch = PackedBatch.of([ids[i] for i in texts])
            # Here, not when the job is made: of many batches few are under way at a time.
            memory = self._take_memory(model)
            memory.take(batch, poolings[texts])

        def run(worker: Array) -> None:
            assert memory
            self._encode(memory.job.ctypes.data, worker.ctypes.data)

        def end() -> None:
            assert memory
            keep(texts, batch, memory)

        def release() -> None:
            if memory:
                self._free.append(memory)

        return Job(begin, run, end, release)

    def _take_memory(self, model: Model) -> Memory:
        try:
            # pop is one step for all threads; testing first would not be
            return self._free.pop()
        except IndexError:
            return Memory(model, self._phases)
