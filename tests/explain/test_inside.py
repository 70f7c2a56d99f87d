"""The steps inside the embeddings and a layer: put together again, they are the hidden states."""

from dataclasses import replace

import numpy as np
import pytest

import engine
from engine import model
from engine.checkpoint.weights import load_weights
from engine.explain import embedding_parts, explain, layer_parts
from tests.conftest import Load

TEXT = "the red fox, and the blue one"


def test_the_embedding_is_the_normalised_sum_of_its_parts(load: Load) -> None:
    embedder = load("tiny", "reference")
    found = explain(embedder, TEXT)
    parts = embedding_parts(embedder, found)
    weights = load_weights(embedder.config.transformer, embedder.config)
    assert np.array_equal(parts.word_LD[2], weights.word_VD[found.ids_L[2]])
    assert np.array_equal(parts.position_LD[2], weights.position_PD[2])
    again_LD = model.layer_norm(parts.sum_LD, weights.embedding_norm, embedder.config.eps)
    assert np.array_equal(again_LD, found.hidden_ELD[0])


@pytest.mark.parametrize("layer", [1, 2])
def test_a_layer_is_its_two_halves(layer: int, load: Load) -> None:
    embedder = load("tiny", "reference")
    found = explain(embedder, TEXT)
    parts = layer_parts(embedder, found, layer)
    config = embedder.config
    weights = load_weights(config.transformer, config).layers[layer - 1]
    attention_HLL = found.attention_NHLL[layer - 1]
    assert np.array_equal(model.softmax(parts.scores_HLL.copy()), attention_HLL)
    q_D, k_D = parts.q_HLK[3, 1].astype(float), parts.k_HLK[3, 2].astype(float)
    assert parts.scores_HLL[3, 1, 2] == pytest.approx(q_D @ k_D / np.sqrt(len(q_D)), abs=1e-6)
    gathered_LD = (attention_HLL @ parts.v_HLK).transpose(1, 0, 2).reshape(len(found.tokens), -1)
    assert np.array_equal(model.linear(gathered_LD, weights.attention_output), parts.attention_LD)
    out_LD = model.layer_norm(
        parts.feed_forward_LD + parts.between_LD, weights.output_norm, config.eps
    )
    assert np.array_equal(out_LD, found.hidden_ELD[layer])


def test_wrong_layers_and_wrong_embedders(load: Load) -> None:
    embedder = load("tiny", "reference")
    found = explain(embedder, "red")
    for layer in (0, 3):
        with pytest.raises(engine.InputError, match=f"layer is {layer}; this model has the layers"):
            layer_parts(embedder, found, layer)
    wider = replace(found, hidden_ELD=np.ones((3, 2, 41), np.float32))
    for parts in (
        lambda: embedding_parts(embedder, wider),
        lambda: layer_parts(embedder, wider, 1),
    ):
        with pytest.raises(engine.InputError, match="states of 41 numbers; tiny has 40"):
            parts()
