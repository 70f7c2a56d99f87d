"""`nearest_words`: what each token's state looks like, in words of the vocabulary."""

from typing import NamedTuple

import numpy as np

from engine import InputError, model
from engine.checkpoint.weights import load_weights
from engine.embedder import Embedder
from engine.explain.explanation import Array, Explanation


class Word(NamedTuple):
    """A token of the vocabulary, and the cosine of its embedding with a state."""

    text: str
    cosine: float


def nearest_words(
    embedder: Embedder, explanation: Explanation, depth: int = -1, count: int = 5
) -> list[list[Word]]:
    """For each token, the `count` words whose embeddings are nearest to its state at `depth`.

    Nearest by cosine, among the rows of the word embedding table. It is a rough picture: states of
    later layers need not point to where the words are. Raises InputError.
    """
    depths = len(explanation.hidden_ELD)
    if not -depths <= depth < depths:
        raise InputError(f"depth is {depth}; this model has the depths 0 to {depths - 1}.")
    x_LD, width = explanation.hidden_ELD[depth], embedder.config.hidden
    if x_LD.shape[1] != width:
        raise InputError(
            f"the explanation is of {explanation.model}, with states of {x_LD.shape[1]} numbers; "
            f"{embedder.name} has {width}. Give the embedder that explained the text."
        )
    return words_near(embedder, x_LD, count)


def words_near(embedder: Embedder, x_LD: Array, count: int = 5) -> list[list[Word]]:
    """As `nearest_words`, for any states (L, D): such as those of one token at all depths."""
    word_VD = load_weights(embedder.config.transformer, embedder.config).word_VD
    cosines_LV = model.normalize(x_LD) @ model.normalize(word_VD).T
    best = np.argsort(-cosines_LV, axis=1, kind="stable")[:, : max(0, count)]
    return [
        [Word(embedder.decode([v], skip_special_tokens=False), float(row[v])) for v in ids]
        for ids, row in zip(best.tolist(), cosines_LV, strict=True)
    ]
