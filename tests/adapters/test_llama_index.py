"""LlamaIndex's calls, and an index."""

import asyncio

import pytest
from llama_index.core import Document, VectorStoreIndex

from engine.adapters.llama_index import EngineEmbedding
from tests.conftest import Load
from tests.support.paths import WEIGHTS

TEXTS = ["the red fox", "a blue green one", "it is small"]


@pytest.fixture
def model(load: Load) -> EngineEmbedding:
    return EngineEmbedding(load("tiny", "float32"))


def test_vectors_and_prompts(model: EngineEmbedding, load: Load) -> None:
    embedder = load("tiny", "float32")
    query, documents = embedder.encode_query("red"), embedder.encode_document(TEXTS)
    assert model.get_query_embedding("red") == query.tolist()
    assert model.get_text_embedding_batch(TEXTS) == documents.tolist()
    assert model.get_text_embedding(TEXTS[0]) == documents[0].tolist()
    assert asyncio.run(model.aget_query_embedding("red")) == query.tolist()
    assert asyncio.run(model.aget_text_embedding(TEXTS[0])) == documents[0].tolist()
    assert asyncio.run(model.aget_text_embedding_batch(TEXTS)) == documents.tolist()


def test_all_texts_of_a_call_are_computed_together(
    model: EngineEmbedding, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    embedder = load("tiny", "float32")
    encode = embedder.encode_document
    monkeypatch.setattr(
        embedder, "encode_document", lambda texts: calls.append(len(texts)) or encode(texts)
    )
    model.get_text_embedding_batch(TEXTS * 500)
    assert calls == [1500]


def test_an_index(model: EngineEmbedding) -> None:
    documents = [Document(text=text, id_=text) for text in TEXTS]
    retriever = VectorStoreIndex.from_documents(documents, embed_model=model).as_retriever(
        similarity_top_k=3
    )
    found = retriever.retrieve("red")
    assert sorted(one.text for one in found) == sorted(TEXTS)
    assert found[0].score >= found[2].score


def test_the_name_and_the_options() -> None:
    model = EngineEmbedding(WEIGHTS / "tiny", embed_batch_size=7)
    assert model.embed_batch_size == 7 and "tiny" in model.model_name
    assert model.to_dict()["class_name"] == "EngineEmbedding"
