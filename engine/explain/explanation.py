"""What `explain` found out about a text: arrays to look at, to plot, and to keep in a file."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine import InputError, model
from engine.literals import POOLINGS, Pooling

Array = NDArray[np.float32]
ARRAYS = ("ids_L", "spans_L2", "hidden_ELD", "attention_NHLL")
OTHERS = ("model", "text", "pooling", "prompt", "tokens")


@dataclass(frozen=True, eq=False)
class Explanation:
    """One text on its way through the model. `engine.explain` says what the letters mean.

    model: the embedder's name. text: with its prompt. pooling: the checkpoint's. prompt: how many
    tokens at the start the pooling leaves out. tokens: L strings, "##" before what continues a
    word. ids_L: int32. spans_L2: int32, where each token begins and ends in `text`, in characters;
    -1, -1 for a special token. hidden_ELD: the hidden states. attention_NHLL: how much each token,
    a row, gathers from each token, a column; a row sums to 1.
    """

    model: str
    text: str
    pooling: Pooling
    prompt: int
    tokens: tuple[str, ...]
    ids_L: NDArray[np.int32]
    spans_L2: NDArray[np.int32]
    hidden_ELD: Array
    attention_NHLL: Array

    def pooled_ED(self, pooling: Pooling | None = None) -> Array:
        """The vector at each depth, not normalised; pooling None means the checkpoint's."""
        pooling = self.pooling if pooling is None else pooling
        if pooling not in POOLINGS:
            raise InputError(f"pooling is {pooling!r}; it must be one of {', '.join(POOLINGS)}.")
        pool: Callable[[Array], Array] = model.POOLINGS[pooling]
        return np.stack([pool(x_LD[self.prompt :]) for x_LD in self.hidden_ELD])

    def norms_EL(self) -> Array:
        """The length of each token's state at each depth."""
        norms_EL: Array = np.linalg.norm(self.hidden_ELD, axis=-1)
        return norms_EL

    def shares_EL(self) -> NDArray[np.float64]:
        """What each token gives to the mean u of the n pooled tokens: (x · u) / (n |u|²).

        That is its part of the length of u. The shares of a depth sum to 1. One below 0 belongs to
        a token that points away from the mean. Tokens of a prompt that is not pooled give 0.
        """
        pooled_ELD = self.hidden_ELD[:, self.prompt :].astype(np.float64)
        mean_ED = pooled_ELD.mean(axis=1)
        squares_E1 = np.square(mean_ED).sum(axis=-1, keepdims=True)
        shares_EL = np.zeros(self.hidden_ELD.shape[:2])
        shares_EL[:, self.prompt :] = np.einsum("eld,ed->el", pooled_ELD, mean_ED)
        shares_EL /= np.maximum(squares_E1 * pooled_ELD.shape[1], 1e-30)
        return shares_EL

    def save(self, path: str | Path) -> None:
        """Writes all fields to an .npz file: arrays by their names, the others as JSON."""
        others = json.dumps({name: getattr(self, name) for name in OTHERS})
        with Path(path).open("wb") as file:
            np.savez(file, others=others, **{name: getattr(self, name) for name in ARRAYS})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote. Raises InputError for another file, and OSError."""
        try:
            with np.load(path) as file:
                others: dict[str, Any] = json.loads(str(file["others"]))
                others["tokens"] = tuple(others["tokens"])
                return cls(**others, **{name: file[name] for name in ARRAYS})
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path} is not a saved explanation, or it is damaged: {error}. "
                "Explain the text again, and save it."
            ) from error
