"""LangChain's own standard tests, and our vectors."""

from typing import Any

import pytest
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from engine.adapters.langchain import EngineEmbeddings
from tests.conftest import Load
from tests.support.paths import WEIGHTS

OPTIONS = {"model": WEIGHTS / "tiny", "threads": 1}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[EngineEmbeddings]:
        return EngineEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return OPTIONS


@pytest.mark.anyio
class TestStandard(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[EngineEmbeddings]:
        return EngineEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return OPTIONS


def test_vectors_and_prompts(load: Load) -> None:
    embedder = load("tiny", "float32")
    model = EngineEmbeddings(embedder)
    assert model.embed_query("red") == embedder.encode_query("red").tolist()
    assert model.embed_documents(["red"]) == embedder.encode_document(["red"]).tolist()
    assert model.embed_query("red") != model.embed_documents(["red"])[0]
    assert model.embed_documents([]) == []


def test_a_vector_store(load: Load) -> None:
    store = InMemoryVectorStore(EngineEmbeddings(load("tiny", "float32")))
    texts = ["the red fox", "a blue green one", "it is small"]
    store.add_texts(texts)
    for text in texts:
        assert store.similarity_search("passage: " + text, k=3)
