"""Hugging Face's client for Python."""

import asyncio

import huggingface_hub
import numpy as np

from tests.serve.clients.called import TEXTS, TOKEN, same


def test_hugging_face_for_python(server, minilm_vectors):
    """The client sends both calls to the root of an endpoint."""
    client = huggingface_hub.InferenceClient(model=server.url, token=TOKEN)
    for text, expected in zip(TEXTS, minilm_vectors["mean"], strict=True):
        assert same(np.squeeze(client.feature_extraction(text)), expected)
    scores = client.sentence_similarity(TEXTS[0], other_sentences=TEXTS)
    vectors = minilm_vectors["mean"]
    assert np.allclose(scores, vectors @ vectors[0], atol=1e-6)


def test_hugging_face_for_python_asynchronously(server, minilm_vectors):
    async def features():
        client = huggingface_hub.AsyncInferenceClient(base_url=server.url, token=TOKEN)
        return await client.feature_extraction(TEXTS[0], normalize=True, truncate=True)

    assert same(np.squeeze(asyncio.run(features())), minilm_vectors["mean"][0])
