"""The float32 upper bound: how fast numpy's BLAS multiplies matrices of the model's shapes.

An encoder layer multiplies every token by the query, key, value and output weights (4 D²) and by
the two matrices of the feed-forward layer (2 D F). The bound is the tokens per second if these
products ran at the best speed of BLAS and all other work took no time. The products of attention
are left out, because they depend on the length of a text.

Several threads run at once. Each has its own rows and calls BLAS with one thread. This scales
better than OpenBLAS's own threads, so it gives the highest bound.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bench.checkpoints import Checkpoint

Matrix = NDArray[np.float32]

BLOCKS = (128, 256, 512, 1024, 2048)  # rows per product; the fastest is used


class Products:
    """The products of all layers. Each layer has its own weights, so the caches cannot hold all."""

    def __init__(self, checkpoint: Checkpoint, threads: int) -> None:
        bert = checkpoint.bert
        hidden, ffn = bert["hidden_size"], bert["intermediate_size"]
        shapes = ((hidden, 3 * hidden), (hidden, hidden), (hidden, ffn), (ffn, hidden))
        draw = np.random.default_rng(0)
        self.weights = [
            draw.standard_normal(shape, np.float32)
            for _ in range(bert["num_hidden_layers"])
            for shape in shapes
        ]
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads)
        self.inputs = {
            inner: draw.standard_normal((max(BLOCKS), inner), "f") for inner, _ in shapes
        }
        self.outputs = [
            {outer: np.empty((max(BLOCKS), outer), "f") for _, outer in shapes}
            for _ in range(threads)
        ]
        self.block = max(BLOCKS, key=self.rate)

    def run(self, tokens: int) -> None:
        """Computes all products for `tokens` tokens, an equal share in each thread."""
        share = -(-tokens // self.threads)
        list(self.pool.map(self.multiply, range(self.threads), [share] * self.threads))

    def multiply(self, thread: int, tokens: int) -> None:
        for start in range(0, tokens, self.block):
            rows = min(self.block, tokens - start)
            for weight in self.weights:
                inner, outer = weight.shape
                np.matmul(self.inputs[inner][:rows], weight, out=self.outputs[thread][outer][:rows])

    def rate(self, block: int) -> float:
        """Tokens per second in blocks of `block` rows; the best of three runs."""
        self.block = block
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            self.run(block * self.threads)
            seconds.append(time.perf_counter() - began)
        return block * self.threads / min(seconds)
