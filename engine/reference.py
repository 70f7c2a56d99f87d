"""`engine.model` over many texts: the encoder behind precision="reference"."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.batch import PackedBatch, plan
from engine.checkpoint import Weights
from engine.config import Config

Array = NDArray[np.float32]
Ids = NDArray[np.int32]


class ReferenceEncoder:
    """Batches of at most `budget` tokens; memory follows the budget, not the number of texts."""

    target = "numpy"

    def __init__(self, weights: Weights, config: Config, budget: int = 2048) -> None:
        self.weights, self.config, self.budget = weights, config, budget

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
        for texts in plan([len(one) for one in ids], self.budget):
            batch = PackedBatch.of([ids[i] for i in texts])
            config = self.config
            yield texts, batch, model.encode(batch, self.weights, config.heads, config.eps)
