"""`compare`: which tokens of two texts make them similar."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import InputError
from engine.embedder import Embedder
from engine.explain.explanation import Explanation
from engine.explain.trace import explain
from engine.literals import Pooling


class Pair(NamedTuple):
    """A token of a, a token of b, by index, and what the two give to the cosine."""

    i: int
    j: int
    contribution: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two texts, and what each pair of their tokens gives to the cosine of their vectors.

    contributions_AB: float64, a row for each token of a, a column for each of b. The vectors are
    the means u of n states x_i, and v of m states y_j, so their cosine is a sum over all pairs:
    x_i · y_j / (n m |u| |v|). A pair that gives less than 0 makes the texts less similar.
    """

    a: Explanation
    b: Explanation
    contributions_AB: NDArray[np.float64]

    @property
    def cosine(self) -> float:
        """Of the mean-pooled vectors: the sum of all contributions."""
        return float(self.contributions_AB.sum())

    def top_pairs(self, count: int = 10) -> list[Pair]:
        """The pairs that give most, largest first."""
        order = np.argsort(-self.contributions_AB, axis=None, kind="stable")[: max(0, count)]
        rows, columns = np.unravel_index(order, self.contributions_AB.shape)
        values = self.contributions_AB[rows, columns].tolist()
        return [*map(Pair, rows.tolist(), columns.tolist(), values)]


def compare(
    embedder: Embedder,
    a: str,
    b: str,
    *,
    prompts: tuple[str | None, str | None] = (None, None),
    pooling: Pooling | None = None,
) -> Comparison:
    """What each pair of tokens gives to the cosine of two texts; prompts: of a, and of b.

    The sum is the cosine of the vectors of `encode`, for a checkpoint that pools by mean. One that
    pools by cls takes the state of one token, which has no parts: InputError, unless pooling is
    "mean"; the sum is then the cosine of the same texts pooled by mean. A checkpoint with Dense or
    LayerNorm after its pooling is refused: their outputs are not sums over tokens.
    """
    config = embedder.config
    if (config.pooling if pooling is None else pooling) != "mean":
        raise InputError(
            f"{embedder.name} is compared by cls pooling, which takes the state of one token: a "
            "cosine has parts only where vectors are means. Pass pooling='mean' for those of the "
            "same states pooled by mean."
        )
    others = [module.kind for module in config.after_pooling if module.kind != "Normalize"]
    if others:
        raise InputError(
            f"{embedder.name} has {' and '.join(others)} after its pooling, so its vectors are not "
            "sums over tokens and a cosine has no parts. Compare with a model that has neither."
        )
    one, other = (
        explain(embedder, text, prompt=p) for text, p in zip((a, b), prompts, strict=True)
    )
    return Comparison(
        one, other, _parts(one, config.truncate_dim) @ _parts(other, config.truncate_dim).T
    )


def _parts(explanation: Explanation, dim: int | None) -> NDArray[np.float64]:
    """Each token's part of the unit vector, (L, D): 0 for those that are not pooled."""
    x_LD = explanation.hidden_ELD[-1, :, :dim].astype(np.float64)
    x_LD[: explanation.prompt] = 0
    x_LD /= max(float(np.linalg.norm(x_LD.sum(axis=0))), 1e-12)  # 1 / n is in both, and cancels
    return x_LD
