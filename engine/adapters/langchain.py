"""LangChain: `Embeddings`. Its asynchronous methods run these in threads."""

from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings

from engine import Embedder
from engine.compat.arguments import embedder_of


class EngineEmbeddings(Embeddings):
    """Queries and documents get the checkpoint's prompts. `options` are those of `engine.load`."""

    def __init__(self, model: str | Path | Embedder, **options: Any) -> None:
        self.embedder = embedder_of(model, **options)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.embedder.encode_document(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self.embedder.encode_query(text).tolist()
        return vector
