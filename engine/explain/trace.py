"""`explain`: one text through `engine.model`, layer by layer, and nothing is thrown away."""

from collections.abc import Sequence

import numpy as np

from engine import InputError, model
from engine.batch import PackedBatch
from engine.checkpoint.config import Config
from engine.checkpoint.weights import Layer, Weights, load_weights
from engine.checks import check_finite
from engine.embedder import Embedder
from engine.explain.explanation import Array, Explanation
from engine.options import CutCount
from engine.system.blas import at_most
from engine.system.threads import undisturbed
from engine.tokenizer.tokens import Token, Tokens, clean

MOST_NUMBERS = 1 << 29  # of attention weights: 2 GB


def explain(embedder: Embedder, text: str, *, prompt: str | None = None) -> Explanation:
    """The tokens, hidden states and attention weights of a text.

    prompt: as for `encode`. A text over the limit is truncated, with a warning, as `encode` does.
    Raises InputError, and NotFinite if sums overflow.
    """
    config = embedder.config
    prompt = embedder.prompt_for(None, prompt)
    (tokens,) = embedder.tokenize([text], prompt=prompt)
    _check(config, tokens)
    cut = CutCount(config.max_tokens, "warn")
    cut.add([tokens])
    details = _kept(embedder.token_details([text], prompt=prompt)[0], tokens, embedder)
    hidden_ELD, attention_NHLL = _traced(tokens, config, embedder.threads)
    check_finite([hidden_ELD[-1]])
    cut.warn()
    spans = [(-1, -1) if one.start is None else (one.start, one.stop) for one in details]
    return Explanation(
        model=embedder.name,
        text=clean(prompt + text),
        pooling=config.pooling,
        prompt=tokens.prompt,
        tokens=tuple(one.text for one in details),
        ids_L=tokens.ids,
        spans_L2=np.array(spans, np.int32),
        hidden_ELD=hidden_ELD,
        attention_NHLL=attention_NHLL,
    )


def _check(config: Config, tokens: Tokens) -> None:
    length = len(tokens)
    if tokens.prompt >= length:
        raise InputError(
            f"the prompt takes all {length} tokens, and this model does not pool those of a "
            "prompt: nothing is left to explain. Give a shorter prompt."
        )
    if config.layers * config.heads * length**2 > MOST_NUMBERS:
        raise InputError(
            f"the attention weights of {length} tokens have {config.layers} x {config.heads} x "
            f"{length} x {length} numbers; at most {MOST_NUMBERS} are kept. Give a shorter text."
        )


def _kept(details: Sequence[Token], tokens: Tokens, embedder: Embedder) -> Sequence[Token]:
    """The tokens that truncation leaves, from the side that it keeps."""
    if not tokens.cut:
        return details
    first, *bare, last = details
    left = embedder.truncation_side == "left"
    return [first, *(bare[tokens.cut :] if left else bare[: -tokens.cut]), last]


def _traced(tokens: Tokens, config: Config, threads: int) -> tuple[Array, Array]:
    """(hidden_ELD, attention_NHLL), in a thread of its own, as `at_most` asks."""
    weights = load_weights(config.transformer, config)  # mapped: this copies no float32
    found: list[tuple[Array, Array]] = []

    def compute() -> None:
        with at_most(threads):
            found.append(_layers(tokens, weights, config))

    undisturbed(compute, name="bge-explain")
    return found[0]


def _layers(tokens: Tokens, weights: Weights, config: Config) -> tuple[Array, Array]:
    """As `model.encode`, but each step is kept."""
    batch = PackedBatch.of([tokens.ids])
    hidden, attention = [model.embed(batch, weights, config.eps)], []
    for layer in weights.layers:
        x_LD = hidden[-1]
        attention.append(_attention_weights(x_LD, layer, config.heads))
        hidden.append(model.encoder_layer(x_LD, layer, batch.cu_seqlens, config.heads, config.eps))
    return np.stack(hidden), np.stack(attention)


def _attention_weights(x_LD: Array, layer: Layer, heads: int) -> Array:
    """(H, L, L), computed once more, because `model.attention` keeps only what was gathered."""
    q_HLK, k_HLK = (
        model.split_heads(model.linear(x_LD, each), heads) for each in (layer.query, layer.key)
    )
    weights_HLL: Array = model.attention_weights(q_HLK, k_HLK)
    return weights_HLL
