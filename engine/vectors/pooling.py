"""Pooling without the prompt's tokens, for checkpoints whose include_prompt is false."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine import model
from engine.tokenizer.tokens import Tokens

Array = NDArray[np.float32]
Hidden = Callable[[Sequence[NDArray[np.int32]]], list[Array]]

TEXTS = 64  # whose hidden states are in memory at once: at most 100 MB for L = 512, D = 768


def pool_without_prompt(hidden: Hidden, tokens: Sequence[Tokens], poolings: Sequence[str]) -> Array:
    """Vectors (n, D), pooled over the tokens after the prompt; `hidden` computes hidden states.

    If the prompt fills the limit and leaves no token, "mean" gives zeros and "cls" the first token,
    as in sentence-transformers.
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
