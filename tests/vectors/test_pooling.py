"""Pooling without a prompt's tokens, computed by hand."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.tokenizer.tokens import Tokens
from engine.vectors.pooling import TEXTS, pool_without_prompt

Array = NDArray[Any]


def hidden(ids: Sequence[Array]) -> list[Array]:
    """Of each token its id and the square of it."""
    return [np.stack([one, one**2], axis=1).astype(np.float32) for one in ids]


def text(*ids: int, prompt: int) -> Tokens:
    return Tokens(np.array(ids, np.int32), prompt=prompt)


def test_the_prompt_is_left_out() -> None:
    tokens = [text(9, 2, 3, 7, prompt=2), text(9, 4, 6, prompt=1), text(9, 4, 6, prompt=0)]
    rows = pool_without_prompt(hidden, tokens, ["mean", "cls", "mean"])
    assert rows.dtype == np.float32
    assert rows[:2].tolist() == [[5, 29], [4, 16]]
    np.testing.assert_allclose(rows[2], [19 / 3, 133 / 3], rtol=1e-6)


@pytest.mark.parametrize("prompt", [3, 4])
def test_a_prompt_that_fills_the_limit(prompt: int) -> None:
    """The mean of nothing is 0; the first token is that of the text."""
    tokens = [text(9, 2, 3, prompt=prompt)] * 2
    rows = pool_without_prompt(hidden, tokens, ["mean", "cls"])
    assert rows.tolist() == [[0, 0], [9, 81]]
    assert rows.dtype == np.float32
    alone = pool_without_prompt(hidden, [text(9, prompt=1)] * 2, ["mean", "cls"])
    assert alone.tolist() == [[0, 0], [9, 81]]


def test_one_token_is_left() -> None:
    rows = pool_without_prompt(hidden, [text(9, 2, 3, prompt=2)] * 2, ["mean", "cls"])
    assert rows.tolist() == [[3, 9], [3, 9]]


@pytest.mark.parametrize("count", [1, TEXTS - 1, TEXTS, TEXTS + 1, 3 * TEXTS + 5])
def test_many_texts_in_parts(count: int) -> None:
    """In order, and with the hidden states of TEXTS texts in memory at most."""
    asked: list[int] = []

    def counted(ids: Sequence[Array]) -> list[Array]:
        asked.append(len(ids))
        return hidden(ids)

    tokens = [text(1, n, n + 2, prompt=1) for n in range(count)]
    poolings = ["cls" if n % 3 else "mean" for n in range(count)]
    rows = pool_without_prompt(counted, tokens, poolings)
    assert rows[:, 0].tolist() == [n if n % 3 else n + 1 for n in range(count)]
    assert sum(asked) == count and max(asked) <= 64 and len(asked) == -(-count // 64)
