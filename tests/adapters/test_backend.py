"""The backends of BERTopic and of KeyBERT are loaded as `engine.load` loads, and are theirs."""

import bertopic.backend
import keybert.backend
import numpy as np
import pytest

import engine.adapters.bertopic
import engine.adapters.keybert
from engine import InputError
from engine.adapters.backend import Backend
from tests.conftest import Load
from tests.support.paths import WEIGHTS

TEXTS = ["the red fox is small", "a blue green one is in the red box"]


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (engine.adapters.bertopic.EngineBackend, bertopic.backend.BaseEmbedder),
        (engine.adapters.keybert.EngineBackend, keybert.backend.BaseEmbedder),
    ],
)
def test_options_are_those_of_load(kind: type[Backend], base: type, load: Load) -> None:
    embedder = load("tiny", "int8")
    backend = kind(WEIGHTS / "tiny", precision="int8")
    assert isinstance(backend, base)
    assert np.array_equal(backend.embed(TEXTS), embedder.encode(TEXTS))
    with pytest.raises(InputError, match="an Embedder is given"):
        kind(embedder, precision="int8")
