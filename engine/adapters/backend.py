"""What BERTopic and KeyBERT both ask of a backend: one method, `embed`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine import Embedder
from engine.compat.arguments import embedder_of


class Backend:
    """Documents and words get the checkpoint's default prompt. `options` are `engine.load`'s."""

    def __init__(self, model: str | Path | Embedder, **options: Any) -> None:
        super().__init__()
        self.embedder = embedder_of(model, **options)

    def embed(self, documents: list[str], verbose: bool = False) -> NDArray[np.float32]:
        """Vectors (n, D); verbose shows progress."""
        return self.embedder.encode(documents, show_progress_bar=verbose)
