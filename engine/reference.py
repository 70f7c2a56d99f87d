"""`engine.model` over many texts: the encoder behind precision="reference"."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.batch import PackedBatch, split
from engine.blas import at_most
from engine.checkpoint import Weights
from engine.config import Config

Array = NDArray[np.float32]
Ids = NDArray[np.int32]
Keep = Callable[[list[int], PackedBatch, Array], None]

BUDGET = 1024  # tokens of a batch, about


class ReferenceEncoder:
    """Batches of about BUDGET tokens; memory follows it and `threads`, not the number of texts.

    Each of `threads` takes a batch of its own: numpy shares out matrix products only, and all that
    lies between them would keep one core.
    """

    target = "numpy"

    def __init__(self, weights: Weights, config: Config, threads: int) -> None:
        self.weights, self.config, self.threads = weights, config, threads

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
        """Batch after batch through the model; `keep` is called by the thread that computed it."""

        def encode(texts: list[int]) -> None:
            batch = PackedBatch.of([ids[i] for i in texts])
            x_TD = model.encode(batch, self.weights, self.config.heads, self.config.eps)
            keep(texts, batch, x_TD)

        lengths = [len(one) for one in ids]
        turns = -(-sum(lengths) // (BUDGET * self.threads))  # rounded up
        batches = split(lengths, turns * self.threads if sum(lengths) > BUDGET else 1)
        workers = self.threads if len(batches) >= self.threads else 1  # 1: it shares out products
        with (
            at_most(self.threads // workers) as known,
            ThreadPoolExecutor(workers if known else 1) as pool,
        ):
            for _ in pool.map(encode, batches):
                pass  # an error or Ctrl-C leaves the loop, and what has not begun never does
