"""scikit-learn: a transformer of texts, for pipelines and grid searches."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from engine import Embedder
from engine.compat.arguments import embedder_of


class EngineTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Texts to vectors (n, D); the other parameters are those of `Embedder.encode`.

    `fit` loads the model and learns nothing. A copy, as grid searches make them, loads it again.
    """

    def __init__(
        self,
        model: str | Path | Embedder = "bge-base-en-v1.5",
        *,
        prompt: str | None = None,
        pooling: str | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
    ) -> None:
        self.model, self.prompt, self.pooling = model, prompt, pooling
        self.normalize, self.truncate_dim = normalize, truncate_dim

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        tags.requires_fit = False
        return tags

    def fit(self, X: Iterable[str], y: object = None) -> Self:
        """Loads the model. Texts and labels are not looked at."""
        self.embedder_ = embedder_of(self.model)
        self._n_features_out = self.truncate_dim or self.embedder_.dim
        return self

    def transform(self, X: Iterable[str]) -> NDArray[np.float32]:
        """Vectors (n, D), float32."""
        if not hasattr(self, "embedder_"):
            self.fit(X)
        options: dict[str, Any] = self.get_params(deep=False)
        del options["model"]
        return self.embedder_.encode(X, **options)
