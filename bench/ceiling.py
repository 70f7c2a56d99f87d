"""The float32 ceiling: how fast numpy's BLAS multiplies the model's own matrices.

An encoder layer multiplies every token by the query, key, value and output weights (4 D²) and by
the two of the feed-forward (2 D F). If those products ran at BLAS's best and all the rest were
free, so many tokens a second would come out. Attention's own products depend on the length of a
text and are left out.

BLAS runs on one thread, in several of ours at once, each with rows of its own. That scales
better than OpenBLAS's own threads, and a ceiling should be as high as it can be.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from bench.checkpoints import Checkpoint

Matrix = NDArray[np.float32]

BLOCKS = (128, 256, 512, 1024, 2048)  # rows at a time; the fastest is taken


class Products:
    """Every layer has weights of its own, as in the model: no cache holds them all."""

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
        """All products of so many tokens, an equal share for each thread."""
        share = -(-tokens // self.threads)
        list(self.pool.map(self.multiply, range(self.threads), [share] * self.threads))

    def multiply(self, thread: int, tokens: int) -> None:
        for start in range(0, tokens, self.block):
            rows = min(self.block, tokens - start)
            for weight in self.weights:
                inner, outer = weight.shape
                np.matmul(self.inputs[inner][:rows], weight, out=self.outputs[thread][outer][:rows])

    def rate(self, block: int) -> float:
        """Tokens a second in blocks of so many rows; the best of three."""
        self.block = block
        seconds = []
        for _ in range(3):
            began = time.perf_counter()
            self.run(block * self.threads)
            seconds.append(time.perf_counter() - began)
        return block * self.threads / min(seconds)
