"""An `Embedder` whose results are easy to compute by hand: a token's state is (id, position, 1).

Its tokenizer is the tiny checkpoint's, so ids are line numbers of vocab.txt, from 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.catalog.models import Entry
from engine.checkpoint.config import Config, read_config
from engine.embedder import Embedder
from engine.vectors.modules import Modules
from tests.support.synthetic import TINY

Array = NDArray[np.float32]

ID = {word: n for n, word in enumerate((TINY / "vocab.txt").read_text("utf-8").splitlines())}
CLS, SEP = ID["[CLS]"], ID["[SEP]"]


class ToyEncoder:
    """Width 3; remembers how many texts each call had, and whether it was closed."""

    target, numerics = "toy", "toy"

    def __init__(self) -> None:
        self.pooled_texts: list[int] = []
        self.hidden_texts: list[int] = []
        self.closed = False

    def hidden(self, ids: Sequence[NDArray[np.int32]]) -> list[Array]:
        self.hidden_texts.append(len(ids))
        return [self._states(one) for one in ids]

    def pooled(self, ids: Sequence[NDArray[np.int32]], poolings: Sequence[str]) -> Array:
        self.pooled_texts.append(len(ids))
        pools: dict[str, Callable[[Array], Array]] = {
            "mean": lambda states: states.mean(axis=0),
            "cls": lambda states: states[0],
        }
        rows = [pools[how](self._states(one)) for one, how in zip(ids, poolings, strict=True)]
        return np.array(rows, np.float32).reshape(-1, 3)

    @staticmethod
    def _states(ids: NDArray[np.int32]) -> Array:
        return np.stack([ids, np.arange(len(ids)), np.ones(len(ids))], axis=1).astype(np.float32)

    def close(self) -> None:
        self.closed = True


def toy_embedder(
    *,
    folder: Path = TINY,
    modules: Modules | None = None,
    entry: Entry | None = None,
    **settings: Any,
) -> Embedder:
    """From the tiny checkpoint without its prompts; `settings` are fields of its Config."""
    config: Config = replace(read_config(TINY), **{"hidden": 3, "prompts": {}, **settings})
    return Embedder(
        folder,
        config,
        modules or Modules([], 3, False),
        ToyEncoder(),
        entry=entry,
        precision="toy",
        threads=1,
        reload=(toy_embedder, ()),
    )


def encoder(embedder: Embedder) -> ToyEncoder:
    found = embedder._encoder
    assert isinstance(found, ToyEncoder)
    return found
