"""What the model does with a text, made visible: every layer, and where a similarity comes from.

    from engine.explain import compare, explain

    explanation = explain(embedder, "a cat")        # tokens, hidden states, attention weights
    explanation.attention_NHLL[0, 3]                # the fourth head of the first layer, (L, L)
    compare(embedder, "a cat", "a kitten").top_pairs()

Everything is computed by `engine.model` in float32, whatever the precision of the embedder. Letters
as in `engine.model`, and N for its layers. E is N + 1: the depths 0, the embeddings, to N, the last
hidden state; depth e is what leaves layer e.
"""

from engine.explain.comparison import Comparison, Pair, compare
from engine.explain.explanation import Explanation
from engine.explain.inside import EmbeddingParts, LayerParts, embedding_parts, layer_parts
from engine.explain.precisions import PrecisionError, precision_errors
from engine.explain.shapes import Step, steps
from engine.explain.trace import explain
from engine.explain.words import Word, nearest_words, words_near

__all__ = [
    "Comparison",
    "EmbeddingParts",
    "Explanation",
    "LayerParts",
    "Pair",
    "PrecisionError",
    "Step",
    "Word",
    "compare",
    "embedding_parts",
    "explain",
    "layer_parts",
    "nearest_words",
    "precision_errors",
    "steps",
    "words_near",
]
