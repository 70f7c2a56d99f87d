"""OpenAI's client for Python, also as it calls Azure."""

import openai
import pytest

from tests.serve.clients.called import MODEL, NAMES, TEXTS, TOKEN, same


@pytest.fixture(params=["/v1", "", "/client/v4/accounts/acc/ai/v1"])
def openai_client(request, server):
    return openai.OpenAI(api_key=TOKEN, base_url=server.url + request.param, max_retries=0)


def test_openai_for_python(openai_client, minilm_vectors):
    for how in ({}, {"encoding_format": "float"}):
        response = openai_client.embeddings.create(model=MODEL, input=TEXTS, **how)
        assert same([item.embedding for item in response.data], minilm_vectors["mean"])
        assert response.model == MODEL
        assert response.usage.prompt_tokens == response.usage.total_tokens > 10
    cls = openai_client.embeddings.create(model=MODEL, input=TEXTS, extra_body={"pooling": "cls"})
    assert same([item.embedding for item in cls.data], minilm_vectors["cls"])
    raw = openai_client.embeddings.create(model=MODEL, input=TEXTS[0], encoding_format="base64")
    assert isinstance(raw.data[0].embedding, str)
    assert [model.id for model in openai_client.models.list()] == NAMES


def test_openai_for_python_sees_errors(openai_client):
    with pytest.raises(openai.BadRequestError, match=r"'\$.input' is invalid") as bad:
        openai_client.embeddings.create(model=MODEL, input="")
    assert (bad.value.code, bad.value.param) == ("5006", "input")
    assert bad.value.request_id
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        openai_client.embeddings.create(model=MODEL, input=[[101, 102]])
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.embeddings.create(model="gpt", input="a")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="wrong").embeddings.create(model=MODEL, input="a")


@pytest.mark.parametrize("version", ["2024-10-21", "v1"])
def test_openai_for_azure(server, minilm_vectors, version):
    if version == "v1":
        client = openai.OpenAI(api_key=TOKEN, base_url=f"{server.url}/openai/v1")
    else:
        client = openai.AzureOpenAI(
            api_key=TOKEN, azure_endpoint=server.url, api_version=version, max_retries=0
        )
    response = client.embeddings.create(model=MODEL, input=TEXTS)
    assert same([item.embedding for item in response.data], minilm_vectors["mean"])
