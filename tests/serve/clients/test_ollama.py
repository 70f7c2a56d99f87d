"""Ollama's client for Python."""

import ollama
import pytest

from tests.serve.clients.called import MODEL, TEXTS, TOKEN, same


def test_ollama_for_python(server, minilm_vectors):
    client = ollama.Client(server.url, headers={"authorization": f"Bearer {TOKEN}"})
    response = client.embed(MODEL, TEXTS)
    assert same(response.embeddings, minilm_vectors["mean"])
    old = client.embeddings("all-MiniLM-L6-v2:latest", TEXTS[0])
    assert same(old.embedding, minilm_vectors["mean"][0])
    with pytest.raises(ollama.ResponseError, match="No such model nothing") as missing:
        client.embed("nothing", TEXTS)
    assert missing.value.status_code == 404
