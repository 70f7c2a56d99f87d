"""`engine.model` over many texts: the encoder behind precision="reference"."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Semaphore

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine._version import __version__
from engine.batch import PackedBatch, split
from engine.checkpoint.config import Config
from engine.checkpoint.weights import Weights
from engine.system.blas import at_most, openblas
from engine.system.threads import PerProcess, undisturbed

Array = NDArray[np.float32]
Ids = NDArray[np.int32]
Keep = Callable[[list[int], PackedBatch, Array], None]

BUDGET = 1024  # tokens of a batch, about


class ReferenceEncoder:
    """Batches of about BUDGET tokens, at most `threads` at once; memory follows that.

    Each of `threads` takes a batch of its own: numpy shares out matrix products only, and all that
    lies between them would keep one core.
    """

    target = "numpy"
    numerics = f"numpy {np.__version__}, engine {__version__}"

    def __init__(self, weights: Weights, config: Config, threads: int) -> None:
        self.weights, self.config, self.threads = weights, config, threads
        self._slots = PerProcess(partial(Semaphore, threads))  # of all callers

    def pooled(self, ids: Sequence[Ids], poolings: Sequence[str]) -> Array:
        """One vector for each text, not normalised: (n, D)."""
        out = np.empty((len(ids), self.config.hidden), np.float32)

        def keep(texts: list[int], batch: PackedBatch, x_TD: Array) -> None:
            out[texts] = model.pool(x_TD, batch.cu_seqlens, [poolings[i] for i in texts])

        self._encode(ids, keep)
        return out

    def hidden(self, ids: Sequence[Ids]) -> list[Array]:
        """The last hidden state (L, D) of each text."""
        out: dict[int, Array] = {}

        def keep(texts: list[int], batch: PackedBatch, x_TD: Array) -> None:
            out.update(zip(texts, np.split(x_TD, batch.cu_seqlens[1:-1]), strict=True))

        self._encode(ids, keep)
        return [out[i] for i in range(len(ids))]

    def close(self) -> None:
        """Nothing to release."""

    def _encode(self, ids: Sequence[Ids], keep: Keep) -> None:
        """Batch after batch through the model; `keep` is called by the thread that computed it.

        In threads of its own, so that an interrupt ends only the wait for them, and cannot leave
        numpy with another number of threads. What has not begun by then never does.
        """
        lengths = [len(one) for one in ids]
        turns = -(-sum(lengths) // (BUDGET * self.threads))  # rounded up
        batches = split(lengths, turns * self.threads if sum(lengths) > BUDGET else 1)
        workers = self.threads if openblas() and len(batches) >= self.threads else 1
        each = self.threads // workers  # a lone worker shares out its products
        waiting = deque(batches)

        def compute() -> None:
            while True:
                with self._slots.get():
                    try:
                        texts = waiting.popleft()
                    except IndexError:
                        return
                    batch = PackedBatch.of([ids[i] for i in texts])
                    keep(texts, batch, self._hidden(batch, each))

        try:
            undisturbed(compute, copies=workers, name="bge-reference")
        finally:
            waiting.clear()

    def _hidden(self, batch: PackedBatch, threads: int) -> Array:
        with at_most(threads):
            x_TD: Array = model.encode(batch, self.weights, self.config.heads, self.config.eps)
        return x_TD
