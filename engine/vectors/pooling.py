"""Pooling of some of a text's tokens, for checkpoints that leave their prompt out of it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.tokenizer.tokens import Tokens

Array = NDArray[np.float32]
Hidden = Callable[[Sequence[NDArray[np.int32]]], list[Array]]

TEXTS = 64  # whose hidden states are in memory at a time: at most 100 MB for 512 tokens of 768


def pool_without_prompt(hidden: Hidden, tokens: Sequence[Tokens], poolings: Sequence[str]) -> Array:
    """One vector (n, D) a text, of the tokens behind its prompt; `hidden` computes their states.

    Where the prompt leaves no token (it fills the limit), the mean is of nothing, 0, and "cls" is
    the first token, as in sentence-transformers.
    """
    return np.stack(list(_rows(hidden, tokens, poolings)))


def _rows(hidden: Hidden, tokens: Sequence[Tokens], poolings: Sequence[str]) -> Iterator[Array]:
    for first in range(0, len(tokens), TEXTS):
        part = tokens[first : first + TEXTS]
        states = hidden([one.ids for one in part])
        for one, pooling, x_LD in zip(part, poolings[first:], states, strict=False):
            kept_LD = x_LD[one.prompt :]
            if len(kept_LD):
                yield model.pool(kept_LD, [0, len(kept_LD)], [pooling])[0]
            else:
                yield x_LD[0] if pooling == "cls" else np.zeros_like(x_LD[0])
