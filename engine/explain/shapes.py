"""`steps`: the shapes of the model, and how many parameters and operations each step has."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.checkpoint.config import Config


@dataclass(frozen=True)
class Step:
    """A step of the model, for one text of L tokens.

    axes and shape: of its output. parameters: numbers in the checkpoint. operations: the
    multiplications and additions of its matrix products, which are nearly all. repeats: N for a
    step of a layer, else 1; parameters and operations are those of one.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    parameters: int = 0
    operations: int = 0
    repeats: int = 1


def steps(config: Config, tokens: int) -> list[Step]:
    """The steps in the order of `engine.model`, for a text of `tokens` tokens."""
    L, D = tokens, config.hidden
    embeddings = {
        "word embeddings": config.vocabulary,
        "position embeddings": config.positions,
        "token type embeddings": config.token_types,
    }
    return [
        *(Step(name, "LD", (L, D), rows * D) for name, rows in embeddings.items()),
        Step("layer norm", "LD", (L, D), 2 * D),
        *_layer(config, L),
        Step("pooling", "D", (D,)),
    ]


def _layer(config: Config, L: int) -> Iterator[Step]:
    N, D, F, H = config.layers, config.hidden, config.feed_forward, config.heads
    square, wide = D * D + D, 2 * L * D * D
    for name in ("query", "key", "value"):
        yield Step(name, "LD", (L, D), square, wide, N)
    yield Step("attention weights", "HLL", (H, L, L), 0, 2 * L * L * D, N)
    yield Step("gathered values", "HLK", (H, L, D // H), 0, 2 * L * L * D, N)
    yield Step("attention output", "LD", (L, D), square, wide, N)
    yield Step("add, layer norm", "LD", (L, D), 2 * D, 0, N)
    yield Step("up, GELU", "LF", (L, F), D * F + F, 2 * L * D * F, N)
    yield Step("down", "LD", (L, D), F * D + D, 2 * L * D * F, N)
    yield Step("add, layer norm", "LD", (L, D), 2 * D, 0, N)
