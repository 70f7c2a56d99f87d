"""Haystack's components for OpenAI's API and for text-embeddings-inference."""

import asyncio

import pytest
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret
from haystack_integrations.components.embedders.huggingface_api import (
    HuggingFaceAPIDocumentEmbedder,
    HuggingFaceAPITextEmbedder,
)

from tests.serve.clients.called import DOCUMENTS, MODEL, TOKEN, same

SECRET = Secret.from_token(TOKEN)


def vectors_of(result):
    return [document.embedding for document in result["documents"]]


def test_haystack_with_openais_api(server, document_vectors):
    how = {"model": MODEL, "api_key": SECRET, "api_base_url": f"{server.url}/v1"}
    result = OpenAIDocumentEmbedder(progress_bar=False, **how).run(
        [Document(content=text) for text in DOCUMENTS]
    )
    assert same(vectors_of(result), document_vectors)
    assert result["meta"]["model"] == MODEL
    found = OpenAITextEmbedder(**how).run(DOCUMENTS[0])["embedding"]
    assert same(found, document_vectors[0])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", ["text_embeddings_inference", "inference_endpoints"])
def test_haystack_with_hugging_faces_api(server, load, kind, normalize):
    """These ask for vectors that are not normalised, unless told to."""
    expected = load("minilm", "float32").encode(DOCUMENTS, normalize=normalize)
    how = {"api_type": kind, "api_params": {"url": server.url}, "token": SECRET}
    how |= {"normalize": True} if normalize else {}
    documents = [Document(content=text) for text in DOCUMENTS]
    embedder = HuggingFaceAPIDocumentEmbedder(progress_bar=False, **how)
    assert same(vectors_of(embedder.run(documents)), expected)
    assert same(vectors_of(asyncio.run(embedder.run_async(documents))), expected)
    found = HuggingFaceAPITextEmbedder(**how).run(DOCUMENTS[0])["embedding"]
    assert same(found, expected[0])
