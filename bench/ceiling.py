"""The float32 ceiling: how fast numpy's BLAS multiplies the model's own matrices.

An encoder layer multiplies every token by the query, key, value and output weights (4 D²) and by
the two of the feed-forward (2 D F). If those products ran at BLAS's best and all the rest were
free, so many tokens a second would come out. Attention's own products depend on the length of a
text and are left out.
"""

import time

import numpy as np
from numpy.typing import NDArray

from bench.checkpoints import Checkpoint

Matrix = NDArray[np.float32]

BLOCKS = (256, 512, 1024, 2048, 4096)  # rows at a time; the fastest is taken


class Products:
    """Every layer has weights of its own, as in the model: nothing stays in a cache unfairly."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        bert = checkpoint.bert
        hidden, ffn = bert["hidden_size"], bert["intermediate_size"]
        self.shapes = ((hidden, 3 * hidden), (hidden, hidden), (hidden, ffn), (ffn, hidden))
        draw = np.random.default_rng(0)
        self.weights = [
            [draw.standard_normal(shape, np.float32) for shape in self.shapes]
            for _ in range(bert["num_hidden_layers"])
        ]
        self.inputs = {
            inner: draw.standard_normal((max(BLOCKS), inner), np.float32) for inner in (hidden, ffn)
        }
        self.outputs = {shape: np.empty((max(BLOCKS), shape[1]), "f") for shape in self.shapes}
        self.block = max(BLOCKS, key=self.rate)

    def run(self, tokens: int) -> None:
        """All products of so many tokens, block by block."""
        for start in range(0, tokens, self.block):
            self.multiply(min(self.block, tokens - start))

    def multiply(self, rows: int) -> None:
        for layer in self.weights:
            for weight in layer:
                inputs = self.inputs[weight.shape[0]][:rows]
                np.matmul(inputs, weight, out=self.outputs[weight.shape][:rows])

    def rate(self, rows: int) -> float:
        """Rows a second in blocks of so many; the best of three."""
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            self.multiply(rows)
            seconds.append(time.perf_counter() - began)
        return rows / min(seconds)
