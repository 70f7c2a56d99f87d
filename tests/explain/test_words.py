"""The nearest words: by a loop over the vocabulary, and of real weights."""

import math
from dataclasses import replace

import numpy as np
import pytest

import engine
from engine.checkpoint.weights import load_weights
from engine.explain import explain, nearest_words, words_near
from tests.conftest import Load


def test_by_a_loop_over_the_vocabulary(load: Load) -> None:
    embedder = load("tiny", "reference")
    found = explain(embedder, "the red fox")
    table = load_weights(embedder.config.transformer, embedder.config).word_VD.astype(float)
    words = nearest_words(embedder, found, depth=1, count=4)
    for x_D, nearest in zip(found.hidden_ELD[1].astype(float), words, strict=True):
        cosines = [x_D @ w_D / math.hypot(*x_D) / math.hypot(*w_D) for w_D in table]
        best = np.argsort(cosines)[::-1][:4]
        assert [word.text for word in nearest] == [
            embedder.decode([v], skip_special_tokens=False) for v in best
        ]
        assert [word.cosine for word in nearest] == pytest.approx(
            [cosines[v] for v in best], abs=1e-6
        )


@pytest.mark.slow
def test_before_the_first_layer_a_word_is_nearest_to_itself(load: Load) -> None:
    embedder = load("minilm", "reference")
    found = explain(embedder, "Unbelievably the bank raised its interest rates")
    words = nearest_words(embedder, found, depth=0, count=1)
    assert [nearest[0].text for nearest in words[1:-1]] == [*found.tokens[1:-1]]


def test_one_token_at_all_depths(load: Load) -> None:
    embedder = load("tiny", "reference")
    found = explain(embedder, "the red fox")
    words = words_near(embedder, found.hidden_ELD[:, 2], count=3)
    for depth, nearest in enumerate(words):
        expected = nearest_words(embedder, found, depth, 3)[2]
        assert [word.text for word in nearest] == [word.text for word in expected]


def test_wrong_depths_and_wrong_embedders(load: Load) -> None:
    embedder = load("tiny", "reference")
    found = explain(embedder, "red")
    assert nearest_words(embedder, found) == nearest_words(embedder, found, depth=2)
    assert nearest_words(embedder, found, count=0) == [[]] * len(found.tokens)
    for depth in (3, -4):
        with pytest.raises(engine.InputError, match=f"depth is {depth}; this model has the depths"):
            nearest_words(embedder, found, depth=depth)
    wider = replace(found, hidden_ELD=np.ones((3, 2, 41), np.float32))
    with pytest.raises(engine.InputError, match="states of 41 numbers; tiny has 40"):
        nearest_words(embedder, wider)
