"""Chroma's functions for OpenAI's API and for text-embeddings-inference, in a collection."""

import chromadb
import pytest
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer, OpenAIEmbeddingFunction

from tests.serve.clients.called import DOCUMENTS, MODEL, TOKEN, same


def with_openais_api(url):
    return OpenAIEmbeddingFunction(
        api_key_env_var="TOKEN_OF_THE_TESTS", model_name=MODEL, api_base=f"{url}/v1"
    )


def with_teis_api(url):
    return HuggingFaceEmbeddingServer(f"{url}/embed", api_key_env_var="TOKEN_OF_THE_TESTS")


def with_an_endpoint(url):
    return HuggingFaceEmbeddingServer(url, api_key_env_var="TOKEN_OF_THE_TESTS")


@pytest.mark.parametrize("make", [with_openais_api, with_teis_api, with_an_endpoint])
def test_chroma(server, document_vectors, monkeypatch, make):
    """All documents of one `add` come in one request: these functions do not split it."""
    monkeypatch.setenv("TOKEN_OF_THE_TESTS", TOKEN)
    collection = chromadb.EphemeralClient().create_collection(
        make.__name__,
        embedding_function=make(server.url),
        configuration={"hnsw": {"space": "ip"}},  # for "cosine" it would normalise once more
    )
    ids = [f"{i:03}" for i in range(len(DOCUMENTS))]
    collection.add(ids=ids, documents=DOCUMENTS)
    stored = collection.get(ids=ids, include=["embeddings"])
    assert stored["ids"] == ids and same(stored["embeddings"], document_vectors)
    assert collection.query(query_texts=DOCUMENTS[7], n_results=1)["ids"] == [[ids[7]]]
