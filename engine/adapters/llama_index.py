"""LlamaIndex: `BaseEmbedding`."""

import asyncio
from pathlib import Path
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from engine import Embedder
from engine.compat.arguments import embedder_of

Vector = list[float]


class EngineEmbedding(BaseEmbedding):
    """Queries and documents get the checkpoint's prompts. `options` are BaseEmbedding's."""

    _embedder: Embedder = PrivateAttr()

    def __init__(self, model: str | Path | Embedder, **options: Any) -> None:
        embedder = embedder_of(model)
        super().__init__(**{"model_name": embedder.name, "embed_batch_size": 2048, **options})
        self._embedder = embedder

    @classmethod
    def class_name(cls) -> str:
        return "EngineEmbedding"

    def _get_query_embedding(self, query: str) -> Vector:
        vector: Vector = self._embedder.encode_query(query).tolist()
        return vector

    def _get_text_embedding(self, text: str) -> Vector:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Vector]:
        vectors: list[Vector] = self._embedder.encode_document(texts).tolist()
        return vectors

    async def _aget_query_embedding(self, query: str) -> Vector:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> Vector:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Vector]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
