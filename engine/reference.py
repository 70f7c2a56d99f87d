"""`engine.model` over many texts: the encoder behind precision="reference"."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.batch import PackedBatch, plan
from engine.blas import one_thread
from engine.checkpoint import Weights
from engine.config import Config

Array = NDArray[np.float32]
Ids = NDArray[np.int32]

BUDGET = 1024  # tokens of a batch


class ReferenceEncoder:
    """Batches of at most BUDGET tokens; memory follows it and `threads`, not the number of texts.

    Each of `threads` takes a batch of its own: numpy shares out matrix products only, and all that
    lies between them would keep one core.
    """

    target = "numpy"

    def __init__(self, weights: Weights, config: Config, threads: int) -> None:
        self.weights, self.config, self.threads = weights, config, threads

    def pooled(self, ids: Sequence[Ids], poolings: Sequence[str]) -> Array:
        """One vector for each text, not normalised: (n, D)."""
        out = np.empty((len(ids), self.config.hidden), np.float32)
        for texts, batch, x_TD in self._batches(ids):
            out[texts] = model.pool(x_TD, batch.cu_seqlens, [poolings[i] for i in texts])
        return out

    def hidden(self, ids: Sequence[Ids]) -> list[Array]:
        """The last hidden state (L, D) of each text."""
        out: dict[int, Array] = {}
        for texts, batch, x_TD in self._batches(ids):
            out.update(zip(texts, np.split(x_TD, batch.cu_seqlens[1:-1]), strict=True))
        return [out[i] for i in range(len(ids))]

    def close(self) -> None:
        """Nothing to release."""

    def _batches(self, ids: Sequence[Ids]) -> Iterator[tuple[list[int], PackedBatch, Array]]:
        config = self.config

        def encode(texts: list[int]) -> tuple[list[int], PackedBatch, Array]:
            batch = PackedBatch.of([ids[i] for i in texts])
            return texts, batch, model.encode(batch, self.weights, config.heads, config.eps)

        plans = plan([len(one) for one in ids], BUDGET)
        if len(plans) < max(2, self.threads):  # too few for all threads: products are shared out
            yield from map(encode, plans)
            return
        with one_thread() as free, ThreadPoolExecutor(self.threads if free else 1) as pool:
            for start in range(0, len(plans), self.threads):
                yield from pool.map(encode, plans[start : start + self.threads])
