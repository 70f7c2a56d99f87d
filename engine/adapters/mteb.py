"""MTEB: an encoder for `mteb.evaluate`."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ScoringFunction
from numpy.typing import NDArray

from engine import Embedder, __version__
from engine.compat.arguments import check_device, embedder_of


class EngineEncoder(AbsEncoder):
    """Queries and documents get the checkpoint's prompts; texts of other tasks its default one."""

    def __init__(
        self,
        model_name: str | Embedder,
        revision: str | None = None,
        *,
        device: str | None = None,
        **options: Any,
    ) -> None:
        check_device(device)
        self.embedder = embedder = embedder_of(model_name, revision=revision, **options)
        known = {
            "name": embedder.hub_id or f"local/{embedder.name}",
            "revision": embedder.revision or embedder.model_hash[:12],
            "embed_dim": embedder.dim,
            "max_tokens": embedder.max_tokens,
            "similarity_fn_name": ScoringFunction(embedder.config.similarity),
            "framework": ["NumPy"],
            "use_instructions": any(embedder.prompts.values()),
            # MTEB keeps results of other experiments apart
            "experiment_kwargs": {"engine": __version__, "precision": embedder.precision},
        }
        self.mteb_model_meta = ModelMeta.create_empty(known)

    def encode(
        self, inputs: Iterable[dict[str, Any]], *, prompt_type: Any = None, **_: Any
    ) -> NDArray[np.float32]:
        texts = (text for batch in inputs for text in batch["text"])
        if prompt_type is None:
            return self.embedder.encode(texts)
        if prompt_type.value == "query":
            return self.embedder.encode_query(texts)
        return self.embedder.encode_document(texts)
