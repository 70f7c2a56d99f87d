"""Chapter 10."""

import numpy as np

from engine.explain import steps
from engine.lesson.bert import Bert
from engine.lesson.chapters.fast_path import CHAPTER, parameters, tile
from tests.lesson.checks import check, numbers


def test_chapter(bert: Bert) -> None:
    packed, order, rows, batches, sizes, _ = check(CHAPTER, bert)
    assert packed.splitlines() == [
        f"packed: {3 + 9 + 4 + 30} tokens, cu_seqlens [ 0  3 12 16 46]",
        f"padded: {4 * 30} tokens",
    ]
    left, right, forwards, backwards, _ = (numbers(line)[-1] for line in order.splitlines())
    assert (left, right) == (2.0**24, 2.0**24 + 2) and forwards != backwards
    assert rows.startswith("tile : 96 of 96 numbers are equal\n")
    assert batches.count("the same bits in each batch: True;") == 3
    errors = [numbers(line)[-1] for line in batches.splitlines()]
    assert errors[0] < 1e-6 < errors[1] < 1e-3 < errors[2] < 1e-2
    counts = {line.split()[0]: line.split()[1] for line in sizes.splitlines()}
    assert counts["all-MiniLM-L6-v2"].rstrip(",") == "22,565,376"
    assert counts["bge-base-en-v1.5"] == "108,891,648"


def test_parameters(bert: Bert) -> None:
    """The short formula, and the sum over all steps of the model."""
    c = bert.config
    counted = sum(step.parameters * step.repeats for step in steps(c, tokens=1))
    assert counted == parameters(
        c.vocabulary, c.positions, c.token_types, c.hidden, c.feed_forward, c.layers
    )


def test_a_tile_is_a_product() -> None:
    random = np.random.default_rng(1)
    x, w = random.standard_normal((3, 50)), random.standard_normal((50, 7))
    np.testing.assert_allclose(tile(x.astype("f4"), w.astype("f4")), x @ w, atol=1e-4)


def test_answer() -> None:
    assert CHAPTER.exercise.answer == 1010  # 1008 in three digits
