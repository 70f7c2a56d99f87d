"""Chroma: `EmbeddingFunction`. Import this module before you open a collection that uses it."""

from pathlib import Path
from typing import Any

from chromadb.api.types import Documents, EmbeddingFunction, Embeddings, Space
from chromadb.utils.embedding_functions import register_embedding_function

from engine import Embedder
from engine.compat.arguments import embedder_of, name_of
from engine.literals import Precision


@register_embedding_function
class EngineEmbeddingFunction(EmbeddingFunction[Documents]):
    """Queries and documents get the checkpoint's prompts.

    A collection keeps the name of the model and the precision, and loads the model when it is
    opened without a function.
    """

    def __init__(self, model: str | Path | Embedder, precision: Precision | None = None) -> None:
        self.model, self.embedder = name_of(model), embedder_of(model, precision=precision)

    def __call__(self, input: Documents) -> Embeddings:
        return list(self.embedder.encode_document(input))

    def embed_query(self, input: Documents) -> Embeddings:
        return list(self.embedder.encode_query(input))

    @staticmethod
    def name() -> str:
        return "bge-engine"

    def default_space(self) -> Space:
        return "cosine"

    def get_config(self) -> dict[str, Any]:
        return {"model": self.model, "precision": self.embedder.precision}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "EngineEmbeddingFunction":
        return EngineEmbeddingFunction(config["model"], config["precision"])
