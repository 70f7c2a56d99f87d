"""Haystack. Saved pipelines load with `allowed_modules=["engine.adapters.haystack"]`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from haystack import Document, component, default_to_dict

from engine import Embedder
from engine.compat.arguments import embedder_of, name_of
from engine.literals import Precision

Model = str | Path | Embedder
Fields = list[str] | tuple[str, ...]


@component
class EngineTextEmbedder:
    """A query to its vector, with the checkpoint's prompt for queries."""

    def __init__(self, model: Model, precision: Precision | None = None) -> None:
        self.model, self.embedder = name_of(model), embedder_of(model, precision=precision)

    def to_dict(self) -> Any:
        """What a saved pipeline keeps."""
        return default_to_dict(self, model=self.model, precision=self.embedder.precision)

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """Returns {"embedding": D numbers}."""
        return {"embedding": self.embedder.encode_query(text).tolist()}


@component
class EngineDocumentEmbedder:
    """Documents to copies with vectors, with the checkpoint's prompt for documents.

    meta_fields_to_embed: values of `meta` that are put before the content, each on its own line."""

    def __init__(
        self, model: Model, precision: Precision | None = None, meta_fields_to_embed: Fields = ()
    ) -> None:
        self.model, self.embedder = name_of(model), embedder_of(model, precision=precision)
        self.fields = list(meta_fields_to_embed)

    def to_dict(self) -> Any:
        """What a saved pipeline keeps."""
        options = {"precision": self.embedder.precision, "meta_fields_to_embed": self.fields}
        return default_to_dict(self, model=self.model, **options)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Returns {"documents": copies, each with its vector as `embedding`}."""
        vectors = self.embedder.encode_document(map(self._text, documents)).tolist()
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(each, embedding=vector) for each, vector in pairs]}

    def _text(self, document: Document) -> str:
        values = [document.meta.get(name) for name in self.fields]
        return "\n".join([*(str(one) for one in values if one is not None), document.content or ""])
