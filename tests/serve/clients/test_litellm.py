"""LiteLLM, by each of its providers that speaks one of the server's APIs."""

import asyncio

import litellm
import pytest

from tests.serve.clients.called import DOCUMENTS, MODEL, TOKEN, same

PROVIDERS = [
    (f"openai/{MODEL}", "/v1"),
    (f"openai_like/{MODEL}", "/v1"),
    (f"hosted_vllm/{MODEL}", "/v1"),
    (f"infinity/{MODEL}", ""),
    ("ollama/all-MiniLM-L6-v2", ""),
]


@pytest.mark.parametrize(("model", "path"), PROVIDERS)
def test_litellm(server, document_vectors, model, path):
    check(document_vectors, model=model, api_base=server.url + path)


def test_litellm_for_hugging_face(server, document_vectors, only_this_machine):
    """Without `input_type` it would ask the hub what the model is for."""
    name = "huggingface/all-MiniLM-L6-v2"
    check(document_vectors, model=name, api_base=server.url, input_type="embed")
    while "huggingface.co" in only_this_machine:  # for the model's price
        only_this_machine.remove("huggingface.co")


def check(expected, **how):
    for answer in (
        litellm.embedding(input=DOCUMENTS, api_key=TOKEN, **how),
        asyncio.run(litellm.aembedding(input=DOCUMENTS, api_key=TOKEN, **how)),
    ):
        assert same([item["embedding"] for item in answer.data], expected)
        assert answer.usage.total_tokens > len(DOCUMENTS)
