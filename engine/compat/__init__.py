"""The calls of two other libraries over our `Embedder`: one import changes, the rest stays.

from engine.compat import SentenceTransformer  # for: from sentence_transformers import ...
from engine.compat import TextEmbedding        # for: from fastembed import ...
"""

from engine.compat.fastembed import TextEmbedding
from engine.compat.sentence_transformers import SentenceTransformer

__all__ = ["SentenceTransformer", "TextEmbedding"]
