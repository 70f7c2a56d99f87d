"""`Bert`: the trained model that chapters compute with."""

from functools import cached_property

import engine
from engine.batch import PackedBatch
from engine.checkpoint.config import Config
from engine.checkpoint.weights import Weights, load_weights
from engine.embedder import Embedder
from engine.literals import Precision


class Bert:
    """A checkpoint, which is located and loaded when a chapter first asks for it.

    Arguments as for `engine.load`. Every attribute and method raises what `engine.load` raises.
    """

    def __init__(self, name: str, *, threads: int | None = None, offline: bool = False) -> None:
        self.name = name
        self._threads, self._offline = threads, offline

    @cached_property
    def embedder(self) -> Embedder:
        """The model to read, `engine.model`, behind the public API."""
        return engine.load(
            self.name, precision="reference", threads=self._threads, offline=self._offline
        )

    @property
    def config(self) -> Config:
        return self.embedder.config

    @cached_property
    def weights(self) -> Weights:
        """What `engine.model` computes with."""
        return load_weights(self.config.transformer, self.config)

    @cached_property
    def vocabulary(self) -> list[str]:
        """Every token, in the order of the ids."""
        ids = range(self.config.vocabulary)
        return [self.embedder.decode([i], skip_special_tokens=False) for i in ids]

    def batch(self, *texts: str) -> PackedBatch:
        """The token ids of the texts, end to end."""
        return PackedBatch.of([tokens.ids for tokens in self.embedder.tokenize(texts)])

    def load(self, precision: Precision) -> Embedder:
        """The same checkpoint in another precision; the caller closes it."""
        return engine.load(
            self.embedder.folder, precision=precision, threads=self._threads, offline=True
        )
