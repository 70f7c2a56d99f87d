"""Embeds the queries with the model, pooling and dimension that the manifest of the job names."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import engine
from engine.errors import EngineError, InputError

if TYPE_CHECKING:
    from engine.embedder import Embedder


class Queries:
    """A model that is loaded when it is first needed. The options are those of `search.open`."""

    def __init__(
        self,
        model: "str | Path | Embedder | None",
        *,
        prompt: str | None,
        threads: int | None,
        offline: bool,
    ) -> None:
        self._model, self._prompt = model, prompt
        self._threads, self._offline = threads, offline
        self._embedder: Embedder | None = None
        self._lock = Lock()

    def encode(self, texts: Sequence[str], manifest: dict[str, Any]) -> NDArray[np.float32]:
        """Vectors (M, D) of queries, as the job would have made them but with the query prompt."""
        embedder, dim = self.embedder(manifest), int(manifest["dim"])
        return embedder.encode_query(
            texts,
            prompt=self._prompt,
            pooling=manifest["pooling"],
            normalize=manifest["normalize"],
            truncate_dim=None if dim == embedder.dim else dim,
        )

    def embedder(self, manifest: dict[str, Any]) -> "Embedder":
        """The model, loaded and checked. InputError: its vectors do not fit the output's."""
        with self._lock:
            if self._embedder is None:
                loaded = self._load(manifest)
                try:
                    self._check(loaded, manifest)
                except BaseException:
                    self._close(loaded)
                    raise
                self._embedder = loaded
            return self._embedder

    def close(self) -> None:
        """Release the model, unless the caller gave it."""
        if self._embedder is not None:
            self._close(self._embedder)
            self._embedder = None

    def _close(self, embedder: "Embedder") -> None:
        if embedder is not self._model:
            embedder.close()

    def _load(self, manifest: dict[str, Any]) -> "Embedder":
        given = self._model
        if given is not None and not isinstance(given, str | Path):
            return given
        name = given or manifest["model"]
        options: dict[str, Any] = {"threads": self._threads, "offline": self._offline}
        try:
            return engine.load(name, precision=manifest["precision"], **options)
        except EngineError as error:
            if given is not None:
                raise
            raise EngineError(
                f"the model that made the vectors, {name!r}, cannot be loaded. Name it, or its "
                f"folder, by --model (model= in Python). {error}"
            ) from error

    def _check(self, embedder: "Embedder", manifest: dict[str, Any]) -> None:
        if embedder.model_hash == manifest["model_hash"]:
            return
        made_by = f"the vectors were made by {manifest['model']!r}"
        if self._model is None:
            raise InputError(
                f"{made_by}, but the model of that name has other weights here. Name the right one "
                "by --model (model= in Python)."
            )
        if embedder.dim < manifest["dim"]:
            raise InputError(
                f"{made_by} and have {manifest['dim']} components; those of {embedder.name!r} have "
                f"{embedder.dim}. Use the model that made them."
            )
        warnings.warn(
            f"{made_by}; {embedder.name!r} has other weights, so scores may mean nothing.",
            stacklevel=2,
        )
