"""LlamaIndex's classes for text-embeddings-inference and for Hugging Face's endpoints."""

import asyncio

import pytest
from llama_index.embeddings.huggingface_api import HuggingFaceInferenceAPIEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

from tests.serve.clients.called import DOCUMENTS, TOKEN, same


def for_tei(url):
    return TextEmbeddingsInference("all-MiniLM-L6-v2", base_url=url, auth_token=TOKEN)


def for_an_endpoint(url):
    """It keeps connections of an event loop that it has closed: one call that is not async each."""
    return HuggingFaceInferenceAPIEmbedding(
        model_name=url, token=TOKEN, embed_batch_size=len(DOCUMENTS)
    )


@pytest.mark.parametrize("make", [for_tei, for_an_endpoint])
def test_llama_index(server, document_vectors, make):
    found = make(server.url).get_text_embedding_batch(DOCUMENTS)
    assert same(found, document_vectors)
    assert same(make(server.url).get_query_embedding(DOCUMENTS[0]), document_vectors[0])
    found = asyncio.run(make(server.url).aget_text_embedding_batch(DOCUMENTS))
    assert same(found, document_vectors)
