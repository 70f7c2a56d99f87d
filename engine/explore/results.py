"""The numbers of the page: each function takes the members of a request, and returns JSON.

Of a long text, the first SHOWN tokens are listed; means, shares and cosines are over all of them.
Letters as in `engine.explain`.
"""

import inspect
import tempfile
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import engine
from engine import Embedder, InputError, model
from engine.explain import (
    Explanation,
    compare,
    embedding_parts,
    explain,
    layer_parts,
    words_near,
)
from engine.explore.pca import plane
from engine.explore.source import functions
from engine.literals import POOLINGS, PRECISIONS

SHOWN = 64  # tokens
TEXTS = 20  # sentences of the matrix
CHARACTERS = 20_000  # of a text
FIRST = 4  # numbers of a vector in a formula
PAIRS, WORDS = 8, 4
COMPUTED = [name for name in PRECISIONS if name != "reference"]
WEIGHT_ONE = 10_000  # attention weights are sent as integers: this is 1

JSON = dict[str, Any]


class Results:
    """What the page asks for, about one model. One result at a time."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder, self._prompt = embedder, embedder.prompt_for(None)
        # The page asks for several results about one text; of BGE-base at its limit it is 170 MB.
        self._explain = lru_cache(maxsize=1)(partial(explain, embedder))

    def about(self) -> JSON:
        """The model, the limits of the page, and the source of `model.py`."""
        embedder, config = self._embedder, self._embedder.config
        return {
            "model": embedder.name,
            "layers": config.layers,
            "heads": config.heads,
            "dim": config.hidden,
            "pooling": embedder.pooling,
            "precisions": COMPUTED,
            "after_pooling": [module.kind for module in config.after_pooling],
            "legend": inspect.getdoc(model),
            "source": functions(),
        }

    def explain(self, text: str) -> JSON:
        """The tokens of a text, all attention weights, and the states on their way."""
        found = self._explain(_checked(text))
        (tokens,) = self._embedder.tokenize([text], prompt=self._prompt)
        x_ELD = found.hidden_ELD
        weights_NHLL = found.attention_NHLL[:, :, :SHOWN, :SHOWN]
        points, shares = plane(x_ELD[:, :SHOWN].reshape(-1, x_ELD.shape[2]))
        poolings = {name: found.pooled_ED(name)[-1] for name in POOLINGS}
        units = model.normalize(np.stack([poolings[name] for name in POOLINGS]))
        return {
            "tokens": found.tokens[:SHOWN],
            "ids": found.ids_L[:SHOWN].tolist(),
            "count": len(found.tokens),
            "cut": tokens.cut,
            "prompt": found.prompt,
            "weight_one": WEIGHT_ONE,
            "attention": np.rint(weights_NHLL * WEIGHT_ONE).astype(int).tolist(),
            "embedding": self._embedding(found),
            "first": _short(x_ELD[:, :SHOWN, :FIRST]),
            "norms": _short(found.norms_EL()[:, :SHOWN]),
            "path": _short(points.reshape(len(x_ELD), -1, 2)),
            "path_shares": _short(shares),
            "shares": _short(found.shares_EL()[-1, :SHOWN], 6),
            "column": _short(x_ELD[-1, :, 0]),
            "pooled": {name: _short(vector) for name, vector in poolings.items()},
            "cls_mean_cosine": float(units[0] @ units[1]),
        }

    def _embedding(self, found: Explanation) -> JSON:
        parts = embedding_parts(self._embedder, found)
        sum_LD = parts.sum_LD[:SHOWN]
        return {
            "word": _short(parts.word_LD[:SHOWN, :FIRST]),
            "type": _short(parts.token_type_D[:FIRST]),
            "position": _short(parts.position_LD[:SHOWN, :FIRST]),
            "sum": _short(sum_LD[:, :FIRST]),
            "mean": _short(sum_LD.mean(axis=1)),
            "deviation": _short(sum_LD.std(axis=1)),
        }

    def head(self, text: str, layer: int, head: int) -> JSON:
        """The vectors and scores of one head, and the halves of its layer; counted from 1."""
        found, heads = self._explain(_checked(text)), self._embedder.config.heads
        parts = layer_parts(self._embedder, found, layer)
        if not 1 <= head <= heads:
            raise InputError(f"head is {head}; this model has the heads 1 to {heads}.")
        h, L = head - 1, slice(SHOWN)
        scores_LL = parts.scores_HLL[h]
        shifted_LL = scores_LL - scores_LL.max(axis=1, keepdims=True)
        halves = {
            "came": found.hidden_ELD[layer - 1],
            "attention": parts.attention_LD,
            "between": parts.between_LD,
            "feed_forward": parts.feed_forward_LD,
            "out": found.hidden_ELD[layer],
        }
        return {
            "width": parts.q_HLK.shape[2],
            "q": _short(parts.q_HLK[h, L]),
            "k": _short(parts.k_HLK[h, L]),
            "scores": _short(scores_LL[L, L]),
            "largest": _short(scores_LL[L].max(axis=1)),
            "sums": _short(np.exp(shifted_LL)[L].sum(axis=1)),
            "halves": {
                name: {
                    "first": _short(x_LD[L, :FIRST]),
                    "length": _short(np.linalg.norm(x_LD[L], axis=1)),
                }
                for name, x_LD in halves.items()
            },
        }

    def words(self, text: str, token: int) -> JSON:
        """For each depth, the words that a token's state is nearest to."""
        found = self._explain(_checked(text))
        if not 0 <= token < len(found.tokens):
            raise InputError(
                f"token is {token}; this text has the tokens 0 to {len(found.tokens) - 1}."
            )
        depths = words_near(self._embedder, found.hidden_ELD[:, token], WORDS)
        return {"words": [[[word.text, round(word.cosine, 3)] for word in each] for each in depths]}

    def compare(self, a: str, b: str) -> JSON:
        """What each pair of tokens gives to the cosine of two texts, by mean pooling."""
        found = compare(self._embedder, _checked(a), _checked(b), pooling="mean")
        dim = self._embedder.config.truncate_dim
        return {
            "cosine": found.cosine,
            "a": _side(found.a, dim),
            "b": _side(found.b, dim),
            "contributions": _short(found.contributions_AB[:SHOWN, :SHOWN], 5),
            "pairs": [
                [found.a.tokens[i], found.b.tokens[j], round(value, 5)]
                for i, j, value in found.top_pairs(PAIRS)
            ],
        }

    def matrix(self, texts: list[str]) -> JSON:
        """For each pooling, the cosine of every pair of texts, and the texts on a plane."""
        if not 1 <= len(texts) <= TEXTS:
            raise InputError(f"{len(texts)} texts; this page compares 1 to {TEXTS}.")
        checked = [_checked(text) for text in texts]
        result: JSON = {}
        for pooling in POOLINGS:
            vectors = self._embedder.encode(checked, pooling=pooling, normalize=True)
            points, shares = plane(vectors)
            result[pooling] = {
                "cosines": _short(vectors @ vectors.T),
                "first": _short(vectors[:, :FIRST]),
                "points": _short(points),
                "shares": _short(shares),
            }
        return result

    def precision(self, text: str, name: str) -> JSON:
        """The vector of a precision beside that of `model.py`; the first use prepares it."""
        if name not in COMPUTED:
            raise InputError(f"name is {name!r}; it must be one of {', '.join(COMPUTED)}.")
        mine, tokens = (
            self._embedder,
            self._embedder.tokenize([_checked(text)], prompt=self._prompt),
        )
        with engine.load(mine.folder, precision=name, threads=mine.threads, offline=True) as other:
            vector, reference = (
                each.encode_tokens(tokens)[0].astype(np.float64) for each in (other, mine)
            )
        lengths = max(float(np.linalg.norm(vector) * np.linalg.norm(reference)), 1e-12)
        return {
            "first": _short(vector[:FIRST], 6),
            "reference": _short(reference[:FIRST], 6),
            "angle": 1 - float(vector @ reference) / lengths,
            "largest": float(np.abs(vector - reference).max()),
        }

    def saved(self, text: str) -> bytes:
        """An .npz file with all tokens, for `Explanation.load`."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "explanation.npz")
            self._explain(_checked(text)).save(path)
            return path.read_bytes()


def _side(found: Explanation, dim: int | None) -> JSON:
    """One of two compared texts: its tokens, how many are pooled, and the length of their mean."""
    return {
        "tokens": found.tokens[:SHOWN],
        "pooled": len(found.tokens) - found.prompt,
        "length": float(np.linalg.norm(found.pooled_ED("mean")[-1, :dim])),
    }


def _checked(text: str) -> str:
    if len(text) > CHARACTERS:
        raise InputError(
            f"the text has {len(text):,} characters; this page takes at most {CHARACTERS:,}."
        )
    return text


def _short(array: ArrayLike, digits: int = 4) -> Any:
    """Lists of numbers, rounded."""
    return np.round(np.asarray(array, np.float64), digits).tolist()
