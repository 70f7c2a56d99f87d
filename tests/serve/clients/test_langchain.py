"""LangChain's classes, by its own standard tests and by the bits of their vectors."""

from importlib import resources

import llama_index.core
import pytest
from langchain_cloudflare import CloudflareWorkersAIEmbeddings
from langchain_openai import OpenAIEmbeddings
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from tests.serve.clients.called import DOCUMENTS, MODEL, TOKEN, same
from tests.serve.serving import Server

# OpenAI's tokenizer, which LlamaIndex brings with it, so that tiktoken downloads nothing.
TIKTOKEN_FILES = resources.files(llama_index.core) / "_static" / "tiktoken_cache"


@pytest.fixture(scope="module")
def server_of_openai_ids(minilm):
    """A server for clients that send token ids of OpenAI's tokenizer."""
    options = ("--model", f"{minilm}={MODEL}", "--queue", "none", "--openai-ids", "cl100k")
    environ = {"BGE_API_TOKENS": TOKEN, "TIKTOKEN_CACHE_DIR": str(TIKTOKEN_FILES)}
    with Server("-m", "engine", "serve", *options, **environ) as server:
        yield server


class OpenAI:
    embeddings_class = OpenAIEmbeddings

    @pytest.fixture(autouse=True)
    def called(self, server):
        self.server = server

    @property
    def embedding_model_params(self):
        url = f"{self.server.url}/v1"
        more = {"check_embedding_ctx_length": False}
        return {"model": MODEL, "api_key": TOKEN, "base_url": url, **more}

    @property
    def init_from_env_params(self):
        url = f"{self.server.url}/v1"
        environ = {"OPENAI_API_KEY": TOKEN, "OPENAI_API_BASE": url}
        return environ, {"model": MODEL}, {"openai_api_key": TOKEN, "openai_api_base": url}


class OpenAIWithTokenIds(OpenAI):
    """As the class is without any option."""

    @pytest.fixture(autouse=True)
    def called(self, server_of_openai_ids, monkeypatch):
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(TIKTOKEN_FILES))
        self.server = server_of_openai_ids

    @property
    def embedding_model_params(self):
        return {"model": MODEL, "api_key": TOKEN, "base_url": f"{self.server.url}/v1"}


class Cloudflare:
    embeddings_class = CloudflareWorkersAIEmbeddings

    @pytest.fixture(autouse=True)
    def called(self, server):
        self.url = f"{server.url}/client/v4/accounts"

    @property
    def embedding_model_params(self):
        how = {"api_base_url": self.url, "model_name": MODEL}
        return {"account_id": "acc", "api_token": TOKEN, **how}

    @property
    def init_from_env_params(self):
        environ = {"CF_ACCOUNT_ID": "acc", "CF_AI_API_TOKEN": TOKEN}
        return environ, {"api_base_url": self.url}, {"account_id": "acc", "api_token": TOKEN}


@pytest.fixture(scope="module")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
async def one_event_loop(anyio_backend):
    """All tests share a loop: OpenAI's class keeps connections from one object to the next."""
    yield


@pytest.mark.anyio
class Standard(EmbeddingsIntegrationTests):
    async def test_vectors(self, model, document_vectors):
        assert same(model.embed_documents(DOCUMENTS), document_vectors)
        assert same(model.embed_query(DOCUMENTS[0]), document_vectors[0])
        assert same(await model.aembed_documents(DOCUMENTS), document_vectors)


class TestOpenAI(OpenAI, Standard):
    pass


class TestOpenAIWithTokenIds(OpenAIWithTokenIds, Standard):
    pass


class TestCloudflare(Cloudflare, Standard):
    pass


class TestOpenAIUnit(OpenAI, EmbeddingsUnitTests):
    pass


class TestCloudflareUnit(Cloudflare, EmbeddingsUnitTests):
    pass
