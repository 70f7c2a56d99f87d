"""Chroma's collections with our function, also after they are opened again."""

from pathlib import Path

import chromadb
import numpy as np

from engine.adapters.chroma import EngineEmbeddingFunction
from tests.conftest import Load
from tests.support.paths import WEIGHTS

TEXTS = ["the red fox", "a blue green one", "it is small"]


def test_vectors_and_prompts(load: Load) -> None:
    embedder = load("tiny", "float32")
    function = EngineEmbeddingFunction(embedder)
    assert np.array_equal(function(TEXTS), embedder.encode_document(TEXTS))
    assert np.array_equal(function.embed_query(TEXTS), embedder.encode_query(TEXTS))
    assert not np.array_equal(function(TEXTS), function.embed_query(TEXTS))
    assert not function.is_legacy()


def test_a_collection_that_is_opened_again(load: Load, tmp_path: Path) -> None:
    """A second client is told only the collection's name; it loads the same model."""
    embedder = load("tiny", "int8")
    function = EngineEmbeddingFunction(WEIGHTS / "tiny", "int8")
    with_function = chromadb.PersistentClient(tmp_path).create_collection(
        "texts", embedding_function=function
    )
    with_function.add(ids=["0", "1", "2"], documents=TEXTS)
    opened = chromadb.PersistentClient(tmp_path).get_collection("texts")
    stored = opened.get(ids=["0", "1", "2"], include=["embeddings"])
    # Chroma normalises them once more; those of float32 are farther off.
    np.testing.assert_allclose(stored["embeddings"], embedder.encode_document(TEXTS), atol=1e-6)
    assert abs(stored["embeddings"] - load("tiny", "float32").encode_document(TEXTS)).max() > 1e-4
    found = opened.query(query_texts=["red"], n_results=3)
    expected = 1 - embedder.similarity(embedder.encode_query("red"), stored["embeddings"])[0]
    order = np.argsort(expected)
    assert found["ids"] == [[str(i) for i in order]]
    np.testing.assert_allclose(found["distances"][0], expected[order], atol=1e-6)
