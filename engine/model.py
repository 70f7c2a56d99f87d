"""BERT for text embeddings, the whole model: this file is the definition of what is right.

Small things first; what makes one vector of a text, last. `engine.fast` computes the same, faster.

Texts are packed, never padded: the tokens of all texts of a batch lie end to end in one axis T, and
`cu_seqlens` says where each text begins and ends. Only attention looks at that; every other step
treats each token by itself. So there is no batch axis, no padding and no mask.

Legend. An array's name ends in its axes:

    S  sequences (texts) of the batch          H  attention heads
    T  tokens of the batch, end to end         K  width of one head, D // H
    L  tokens of one sequence                  F  width of the feed-forward layer
    D  width of the model                      V  vocabulary      P  positions
    O, I  outputs and inputs of a linear map

Architecture: Vaswani et al. 2017 (the encoder), Devlin et al. 2018 (BERT). Every array is float32.
"""

import math

import numpy as np


def linear(x_TI, weights):
    """x Wᵀ + b. Checkpoints store W as (outputs, inputs)."""
    y_TO = x_TI @ weights.w_OI.T
    y_TO += weights.b
    return y_TO


def layer_norm(x_TD, weights, eps):
    """Each token to mean 0 and variance 1, then scaled and shifted (Ba et al. 2016).

    eps, 1e-12 in BERT, keeps the root from being 0. A variance that overflows makes the row NaN:
    divided by infinity, it would pass for its shift.
    """
    centred_TD = x_TD - x_TD.mean(axis=-1, keepdims=True)
    variance_T1 = np.square(centred_TD).mean(axis=-1, keepdims=True)
    variance_T1[np.isinf(variance_T1)] = np.nan
    centred_TD /= np.sqrt(variance_T1 + x_TD.dtype.type(eps))
    centred_TD *= weights.scale
    centred_TD += weights.shift
    return centred_TD


def softmax(scores_HLL):
    """Each row to positive numbers that sum to 1, in place.

    The largest score is subtracted first: the result is the same and exp cannot overflow.
    """
    scores_HLL -= scores_HLL.max(axis=-1, keepdims=True)
    np.exp(scores_HLL, out=scores_HLL)
    scores_HLL /= scores_HLL.sum(axis=-1, keepdims=True)
    return scores_HLL


# Abramowitz & Stegun 7.1.26, Σ aₖ tᵏ: with t = 1 / (1 + 0.3275911 x) and x >= 0,
# erf(x) = 1 - (a₁ t + a₂ t² + ... + a₅ t⁵) exp(-x²) with an error below 1.5e-7.
ERF_P = 0.3275911
ERF_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def gelu(x_TF):
    """x Φ(x), with Φ the normal distribution function (Hendrycks & Gimpel 2016).

    This is the form with erf, Φ(x) = (1 + erf(x / √2)) / 2, not the tanh approximation. Written
    with |x| it needs no case for negative x: x Φ(x) = (x + |x| erf(|x| / √2)) / 2.
    """
    size = np.abs(x_TF)
    t = 1 / (1 + (ERF_P / math.sqrt(2)) * size)
    polynomial = 0.0
    for a in reversed(ERF_A):  # Horner's rule
        polynomial = (polynomial + a) * t
    erf = 1 - polynomial * np.exp(-0.5 * np.square(size))
    return 0.5 * (x_TF + size * erf)


def split_heads(x_LD, heads):
    """(L, D) -> (H, L, K): head h owns the K neighbouring columns from h K."""
    x_LHK = x_LD.reshape(len(x_LD), heads, -1)
    return x_LHK.transpose(1, 0, 2)


def attention_weights(q_HLK, k_HLK):
    """softmax(Q Kᵀ / √K): how much each token, a row, gathers from each token, a column."""
    scale = 1 / math.sqrt(q_HLK.shape[-1])
    return softmax((scale * q_HLK) @ k_HLK.transpose(0, 2, 1))


def attend(q_LD, k_LD, v_LD, heads):
    """softmax(Q Kᵀ / √K) V, each head by itself, side by side again in the end."""
    q_HLK, k_HLK, v_HLK = (split_heads(each, heads) for each in (q_LD, k_LD, v_LD))
    gathered_HLK = attention_weights(q_HLK, k_HLK) @ v_HLK
    return gathered_HLK.transpose(1, 0, 2).reshape(q_LD.shape)


def attention(x_TD, layer, cu_seqlens, heads):
    """Every token gathers from the tokens of its own text, as much as query and key agree."""
    q_TD = linear(x_TD, layer.query)
    k_TD = linear(x_TD, layer.key)
    v_TD = linear(x_TD, layer.value)
    gathered_TD = np.empty_like(x_TD)
    for start, end in zip(cu_seqlens[:-1], cu_seqlens[1:], strict=True):
        text = slice(start, end)
        gathered_TD[text] = attend(q_TD[text], k_TD[text], v_TD[text], heads)
    return linear(gathered_TD, layer.attention_output)


def feed_forward(x_TD, layer):
    """Two linear maps with GELU between them, each token by itself."""
    return linear(gelu(linear(x_TD, layer.up)), layer.down)


def encoder_layer(x_TD, layer, cu_seqlens, heads, eps):
    """Attention, then feed-forward; each added to what came in, then normalised ("post-norm")."""
    mixed_TD = attention(x_TD, layer, cu_seqlens, heads)
    mixed_TD += x_TD
    x_TD = layer_norm(mixed_TD, layer.attention_norm, eps)
    ffn_TD = feed_forward(x_TD, layer)
    ffn_TD += x_TD
    return layer_norm(ffn_TD, layer.output_norm, eps)


def embed(batch, weights, eps):
    """Word + token type + position, normalised. Texts come singly, so the type is 0 throughout."""
    x_TD = weights.word_VD[batch.ids_T]
    x_TD += weights.token_type_D
    x_TD += weights.position_PD[batch.positions_T]
    return layer_norm(x_TD, weights.embedding_norm, eps)


def encode(batch, weights, heads, eps):
    """The packed tokens of a batch -> the last hidden state x_TD."""
    x_TD = embed(batch, weights, eps)
    for layer in weights.layers:
        x_TD = encoder_layer(x_TD, layer, batch.cu_seqlens, heads, eps)
    return x_TD


def mean_pool(x_LD):
    """The average of all tokens of a text, [CLS] and [SEP] included."""
    return x_LD.mean(axis=0)


def cls_pool(x_LD):
    """The first token, [CLS], represents the text."""
    return x_LD[0]


POOLINGS = {"mean": mean_pool, "cls": cls_pool}


def pool(x_TD, cu_seqlens, poolings):
    """One vector for each text: x_TD -> (S, D). `poolings` names one of POOLINGS for each text."""
    pooled_SD = np.empty((len(poolings), x_TD.shape[1]), np.float32)
    for s, name in enumerate(poolings):
        pooled_SD[s] = POOLINGS[name](x_TD[cu_seqlens[s] : cu_seqlens[s + 1]])
    return pooled_SD


def normalize(x_SD):
    """Each row to length 1, so that a dot product is a cosine. A row of zeros stays as it is."""
    length_S1 = np.sqrt(np.square(x_SD).sum(axis=-1, keepdims=True))
    return x_SD / np.maximum(length_S1, np.float32(1e-12))
