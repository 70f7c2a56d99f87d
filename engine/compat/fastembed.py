"""The calls of fastembed."""

from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import Embedder, InputError
from engine.catalog import registry
from engine.compat.arguments import embedder_of, refuse
from engine.literals import POOLINGS
from engine.options import check_choice, check_count

Vector = NDArray[np.float32]


class Custom(NamedTuple):
    """A model that `add_custom_model` was told of: where it is, and options of `encode`."""

    hub_id: str
    dim: int
    options: dict[str, Any]


class TextEmbedding:
    """An `Embedder` with the methods of fastembed's class of this name.

    model_name: what `engine.load` takes, or an `Embedder` that it has returned. As in fastembed, no
    method puts a prompt before a text; `Embedder.encode_query` does. lazy_load: the model is loaded
    when it is first needed. `parallel` has no effect: threads use all cores.
    """

    _custom: ClassVar[dict[str, Custom]] = {}

    def __init__(
        self,
        model_name: str | Path | Embedder = "BAAI/bge-small-en-v1.5",
        *,
        threads: int | None = None,
        lazy_load: bool = False,
        local_files_only: bool = False,
        **refused: object,
    ) -> None:
        refuse(refused)
        custom = self._custom.get(str(model_name).lower())
        model, self._options = (custom.hub_id, custom.options) if custom else (model_name, {})
        self._load = partial(embedder_of, model, threads=threads, offline=local_files_only)
        if not lazy_load:
            self.embedder  # noqa: B018

    @cached_property
    def embedder(self) -> Embedder:
        """The model; loaded when it is first asked for."""
        return self._load()

    @property
    def model_name(self) -> str:
        """Its name on the hub, or here if it has none there."""
        return self.embedder.hub_id or self.embedder.name

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **refused: object,
    ) -> Iterator[Vector]:
        """Yields a vector (D,) for each text, in order; the texts may be infinitely many.

        batch_size: so many texts are taken and computed together. Raises InputError.
        """
        refuse(refused)
        chunk = check_count("batch_size", batch_size)
        texts = [documents] if isinstance(documents, str) else documents
        blocks = self.embedder.stream(texts, chunk=chunk, prompt="", **self._options)
        return (vector for block in blocks for vector in block)

    def query_embed(self, query: str | Iterable[str], **options: Any) -> Iterator[Vector]:
        """`embed`."""
        return self.embed(query, **options)

    def passage_embed(self, texts: Iterable[str], **options: Any) -> Iterator[Vector]:
        """`embed`."""
        return self.embed(texts, **options)

    @property
    def embedding_size(self) -> int:
        """Length of a vector, D."""
        return self.embedder.dim

    @classmethod
    def get_embedding_size(cls, model_name: str) -> int:
        """Length of a vector of a model, which is not loaded. Raises ModelNotFound, InputError."""
        known = cls._custom.get(model_name.lower()) or registry.entry(model_name)
        if known.dim is None:
            raise InputError(
                f"The embedding size of {model_name} is known only after it is loaded: use "
                "TextEmbedding(name).embedding_size."
            )
        return known.dim

    def token_count(self, texts: str | Iterable[str], batch_size: int = 1024) -> int:
        """The sum of the tokens of all texts, as the model sees them: cut at its limit."""
        check_count("batch_size", batch_size)
        given = [texts] if isinstance(texts, str) else texts
        return sum(map(len, self.embedder.tokenize(given)))

    @classmethod
    def list_supported_models(cls) -> list[dict[str, Any]]:
        """The models that `bge models` lists. Others of the same architecture work too."""
        return [
            {
                "model": entry.hub_id,
                "dim": entry.dim,
                "license": entry.licence,
                "size_in_GB": entry.size and entry.size / 1e9,
                "sources": {"hf": entry.hub_id},
            }
            for entry in registry.entries()
        ]

    @classmethod
    def add_custom_model(
        cls, model: str, pooling: Any, normalization: bool, sources: Any, dim: int, **_: object
    ) -> None:
        """From now on `TextEmbedding(model)` loads sources.hf, with this pooling and normalisation.

        Without it a model's name on the hub, or its folder, is enough; the checkpoint says the
        rest. pooling: fastembed's PoolingType, or "mean" or "cls". Raises InputError.
        """
        name = str(getattr(pooling, "value", pooling)).lower()
        check_choice("pooling", name, POOLINGS)
        options = {"pooling": name, "normalize": normalization}
        cls._custom[model.lower()] = Custom(sources.hf, dim, options)
