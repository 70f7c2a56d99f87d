"""LangChain's classes."""

from langchain_cloudflare import CloudflareWorkersAIEmbeddings
from langchain_openai import OpenAIEmbeddings

from tests.serve.clients.called import MODEL, TEXTS, TOKEN, same


def test_langchain_cloudflare(server, minilm_vectors):
    embeddings = CloudflareWorkersAIEmbeddings(
        account_id="acc",
        api_token=TOKEN,
        model_name=MODEL,
        api_base_url=f"{server.url}/client/v4/accounts",
    )
    assert same(embeddings.embed_documents(TEXTS), minilm_vectors["mean"])
    assert same(embeddings.embed_query(TEXTS[0]), minilm_vectors["mean"][0])


def test_langchain_openai(server, minilm_vectors):
    embeddings = OpenAIEmbeddings(
        model=MODEL,
        api_key=TOKEN,
        base_url=f"{server.url}/v1",
        check_embedding_ctx_length=False,
    )
    assert same(embeddings.embed_documents(TEXTS), minilm_vectors["mean"])
    assert same(embeddings.embed_query(TEXTS[0]), minilm_vectors["mean"][0])
