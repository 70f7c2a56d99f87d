"""`embedding_parts` and `layer_parts`: what happens inside `model.embed` and inside a layer."""

from dataclasses import dataclass

import numpy as np

from engine import InputError, model
from engine.checkpoint.weights import Weights, load_weights
from engine.embedder import Embedder
from engine.explain.explanation import Array, Explanation


@dataclass(frozen=True, eq=False)
class EmbeddingParts:
    """What is added up for each token; the layer norm of the sum is hidden_ELD[0]."""

    word_LD: Array
    token_type_D: Array
    position_LD: Array

    @property
    def sum_LD(self) -> Array:
        """The three added up, in the order of `model.py`."""
        total_LD: Array = self.word_LD + self.token_type_D
        total_LD += self.position_LD
        return total_LD


@dataclass(frozen=True, eq=False)
class LayerParts:
    """The steps of `model.encoder_layer`, in their order.

    scores_HLL: before the softmax, which makes attention_NHLL of them. attention_LD and
    feed_forward_LD: what each half of the layer adds to what came into it. between_LD: what goes
    from the first half into the second. The layer's output is hidden_ELD[layer].
    """

    q_HLK: Array
    k_HLK: Array
    v_HLK: Array
    scores_HLL: Array
    attention_LD: Array
    between_LD: Array
    feed_forward_LD: Array


def embedding_parts(embedder: Embedder, explanation: Explanation) -> EmbeddingParts:
    """Raises InputError for an explanation of another embedder."""
    weights = _weights(embedder, explanation)
    ids_L = explanation.ids_L
    return EmbeddingParts(
        weights.word_VD[ids_L], weights.token_type_D, weights.position_PD[: len(ids_L)]
    )


def layer_parts(embedder: Embedder, explanation: Explanation, layer: int) -> LayerParts:
    """The steps of a layer, 1 to N. Raises InputError, also for another embedder's explanation."""
    config, layers = embedder.config, len(explanation.attention_NHLL)
    if not 1 <= layer <= layers:
        raise InputError(f"layer is {layer}; this model has the layers 1 to {layers}.")
    weights = _weights(embedder, explanation).layers[layer - 1]
    x_LD = explanation.hidden_ELD[layer - 1]
    q_HLK, k_HLK, v_HLK = (
        model.split_heads(model.linear(x_LD, each), config.heads)
        for each in (weights.query, weights.key, weights.value)
    )
    scale = np.float32(1 / np.sqrt(q_HLK.shape[-1]))
    attention_LD = model.attention(x_LD, weights, np.array([0, len(x_LD)]), config.heads)
    between_LD = model.layer_norm(attention_LD + x_LD, weights.attention_norm, config.eps)
    return LayerParts(
        q_HLK=q_HLK,
        k_HLK=k_HLK,
        v_HLK=v_HLK,
        scores_HLL=(scale * q_HLK) @ k_HLK.transpose(0, 2, 1),
        attention_LD=attention_LD,
        between_LD=between_LD,
        feed_forward_LD=model.feed_forward(between_LD, weights),
    )


def _weights(embedder: Embedder, explanation: Explanation) -> Weights:
    found, own = explanation.hidden_ELD.shape[2], embedder.config.hidden
    if found != own:
        raise InputError(
            f"the explanation is of {explanation.model}, with states of {found} numbers; "
            f"{embedder.name} has {own}. Give the embedder that explained the text."
        )
    return load_weights(embedder.config.transformer, embedder.config)
