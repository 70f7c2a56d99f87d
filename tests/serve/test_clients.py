"""Existing clients with only another base URL, against a real server process with the weights of
all-MiniLM-L6-v2, which here also has Cloudflare's name of another model."""

import asyncio
import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudflare
import httpx
import huggingface_hub
import numpy as np
import ollama
import openai
import pytest
import requests
from langchain_cloudflare import CloudflareWorkersAIEmbeddings
from langchain_openai import OpenAIEmbeddings

import engine
from tests.serve.serving import Server
from tests.support.texts import mixed_texts

MODEL = "@cf/baai/bge-base-en-v1.5"
TOKEN = "a-token-of-the-tests"
NAMES = ["sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2", MODEL]
TEXTS = ["This is a story about an orange cloud", "This is a story about a llama"]
NODE_CLIENTS = {
    "cloudflare": "7.3.0",
    "openai": "6.49.0",
    "@huggingface/inference": "4.13.30",
    "ai": "7.0.173",
    "@ai-sdk/openai-compatible": "3.0.92",
}


@pytest.fixture(scope="module")
def server(minilm, tmp_path_factory):
    database = tmp_path_factory.mktemp("queue") / "queue.sqlite"
    options = ("--model", f"{minilm}={MODEL}", "--queue", f"sqlite:///{database}")
    with Server("-m", "engine", "serve", *options, BGE_API_TOKENS=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def minilm_vectors(load):
    """The vectors of the library, by pooling."""
    return {how: load("minilm", "float32").encode(TEXTS, pooling=how) for how in ("mean", "cls")}


def same(found, expected):
    return np.array_equal(np.array(found, np.float32), expected)


def test_curl_exactly_as_documented(server, minilm_vectors):
    """The example of Cloudflare's documentation of the model: -d, and no JSON content type."""
    command = """curl https://api.cloudflare.com/client/v4/accounts/$CLOUDFLARE_ACCOUNT_ID/ai/run/@cf/baai/bge-base-en-v1.5  \\
      -X POST  \\
      -H "Authorization: Bearer $CLOUDFLARE_AUTH_TOKEN"  \\
      -d '{ "text": ["This is a story about an orange cloud", "This is a story about a llama"] }'
    """  # noqa: E501
    command = command.replace("https://api.cloudflare.com", server.url)
    environ = {**os.environ, "CLOUDFLARE_ACCOUNT_ID": "acc", "CLOUDFLARE_AUTH_TOKEN": TOKEN}
    done = subprocess.run(command, shell=True, env=environ, capture_output=True, check=True)
    body = json.loads(done.stdout)
    assert body["success"] is True
    assert body["result"]["shape"] == [2, 384]
    assert same(body["result"]["data"], minilm_vectors["mean"])


@pytest.fixture
def cloudflare_client(server):
    url = f"{server.url}/client/v4"
    return cloudflare.Cloudflare(api_token=TOKEN, base_url=url, max_retries=0)


def run(client, **more):
    return client.ai.run(MODEL, account_id="acc", **{"text": TEXTS, **more})


def test_cloudflare_for_python(cloudflare_client, minilm_vectors):
    result = run(cloudflare_client)
    assert (result["shape"], result["pooling"]) == ([2, 384], "mean")
    assert same(result["data"], minilm_vectors["mean"])
    by_cls = run(cloudflare_client, extra_body={"pooling": "cls"})
    assert same(by_cls["data"], minilm_vectors["cls"])


def test_cloudflare_for_python_lists_models(cloudflare_client):
    names = [model["name"] for model in cloudflare_client.ai.models.list(account_id="acc")]
    assert names == ["sentence-transformers/all-MiniLM-L6-v2"]
    schema = cloudflare_client.ai.models.schema.get(account_id="acc", model=MODEL)
    assert set(schema.to_dict()["input"]["oneOf"][0]["properties"]) == {"text", "pooling"}


def test_cloudflare_for_python_sees_errors(cloudflare_client, server):
    with pytest.raises(cloudflare.BadRequestError) as bad:
        run(cloudflare_client, text=5)
    assert [error.code for error in bad.value.errors] == [5006]
    with pytest.raises(cloudflare.BadRequestError, match="No such model @cf/x/y"):
        cloudflare_client.ai.run("@cf/x/y", account_id="acc", text="a")
    url = f"{server.url}/client/v4"
    with pytest.raises(cloudflare.AuthenticationError) as stranger:
        run(cloudflare.Cloudflare(api_token="wrong", base_url=url, max_retries=0))
    assert [error.code for error in stranger.value.errors] == [10000]


def test_cloudflare_for_python_with_a_key_instead_of_a_token(server):
    url = f"{server.url}/client/v4"
    client = cloudflare.Cloudflare(api_email="me@example.org", api_key=TOKEN, base_url=url)
    assert run(client)["shape"] == [2, 384]


def test_cloudflare_for_python_queues(cloudflare_client, minilm_vectors):
    items = [
        {"text": TEXTS, "external_reference": "both", "pooling": "cls"},
        {"text": 5},
        {"text": TEXTS[0]},
    ]
    queue = {"extra_query": {"queueRequest": "true"}}
    accepted = run(cloudflare_client, extra_body={"requests": items, "text": None}, **queue)
    assert (accepted["status"], accepted["model"]) == ("queued", MODEL)
    ended = time.monotonic() + 30
    while "responses" not in (
        state := run(cloudflare_client, extra_body={"request_id": accepted["request_id"]}, **queue)
    ):
        assert state["status"] in ("queued", "running")
        assert time.monotonic() < ended
        time.sleep(0.05)
    responses = sorted(state["responses"], key=lambda response: response["id"])
    assert [response["success"] for response in responses] == [True, False, True]
    assert [each["external_reference"] for each in responses] == ["both", None, None]
    assert same(responses[0]["result"]["data"], minilm_vectors["cls"])
    assert same(responses[2]["result"]["data"], minilm_vectors["mean"][:1])
    assert responses[1]["error"]["code"] == 5006
    assert state["usage"]["total_tokens"] > 0
    with pytest.raises(cloudflare.NotFoundError):
        run(cloudflare_client, extra_body={"request_id": "0" * 8}, **queue)


def test_langchain_cloudflare(server, minilm_vectors):
    embeddings = CloudflareWorkersAIEmbeddings(
        account_id="acc",
        api_token=TOKEN,
        model_name=MODEL,
        api_base_url=f"{server.url}/client/v4/accounts",
    )
    assert same(embeddings.embed_documents(TEXTS), minilm_vectors["mean"])
    assert same(embeddings.embed_query(TEXTS[0]), minilm_vectors["mean"][0])


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


def test_langchain_openai(server, minilm_vectors):
    embeddings = OpenAIEmbeddings(
        model=MODEL,
        api_key=TOKEN,
        base_url=f"{server.url}/v1",
        check_embedding_ctx_length=False,
    )
    assert same(embeddings.embed_documents(TEXTS), minilm_vectors["mean"])
    assert same(embeddings.embed_query(TEXTS[0]), minilm_vectors["mean"][0])


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


def test_ollama_for_python(server, minilm_vectors):
    client = ollama.Client(server.url, headers={"authorization": f"Bearer {TOKEN}"})
    response = client.embed(MODEL, TEXTS)
    assert same(response.embeddings, minilm_vectors["mean"])
    old = client.embeddings("all-MiniLM-L6-v2:latest", TEXTS[0])
    assert same(old.embedding, minilm_vectors["mean"][0])
    with pytest.raises(ollama.ResponseError, match="No such model nothing") as missing:
        client.embed("nothing", TEXTS)
    assert missing.value.status_code == 404


@pytest.mark.parametrize("post", [requests.post, httpx.post])
def test_requests_of_teis_adapters(server, minilm_vectors, post):
    """Chroma's and LlamaIndex's classes send this and read an array."""
    body = {"inputs": TEXTS, "truncate": True}
    reply = post(f"{server.url}/embed", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
    assert same(reply.json(), minilm_vectors["mean"])


@pytest.fixture(scope="module")
def node_modules() -> Path:
    """The clients for Node, installed once into the user's cache."""
    if not shutil.which("npm") and not os.environ.get("CI"):
        pytest.skip("Node's clients are tested where Node is")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "bge-engine" / "tests" / "node"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}@{version}" for name, version in NODE_CLIENTS.items()]
    manifest = folder / "package.json"
    if not manifest.exists() or wanted != json.loads(manifest.read_text()).get("wanted"):
        manifest.write_text('{"type": "module"}')
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *wanted]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        installed = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**installed, "wanted": wanted}))
    shutil.copy(Path(__file__).with_name("node_clients.mjs"), folder)
    return folder


@pytest.fixture(scope="module")
def node(server, node_modules):
    """The output of the script: the results of all its calls."""
    command = ["node", "node_clients.mjs", server.url, TOKEN, json.dumps(TEXTS)]
    done = subprocess.run(command, cwd=node_modules, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_cloudflare_for_node(node, minilm_vectors):
    assert same(node["run"]["data"], minilm_vectors["mean"])
    assert same(node["cls"]["data"], minilm_vectors["cls"][:1])
    assert (node["bad"]["status"], node["bad"]["errors"][0]["code"]) == (400, 5006)
    assert (node["stranger"]["status"], node["stranger"]["errors"][0]["code"]) == (401, 10000)


def test_cloudflare_for_node_queues(node, minilm_vectors):
    by_reference = {each["external_reference"]: each for each in node["queued"]["responses"]}
    for i, expected in enumerate(minilm_vectors["mean"]):
        assert same(by_reference[f"r{i}"]["result"]["data"], expected[None])


def test_openai_for_node(node, minilm_vectors):
    for how in ("base64", "floats", "account"):
        found = [item["embedding"] for item in node[how]["data"]]
        assert same(found, minilm_vectors["mean"]), how
    assert (node["empty"]["status"], node["empty"]["code"]) == (400, "5006")
    assert node["empty"]["message"].startswith("400 '$.input' is invalid")
    assert node["listed"] == NAMES


def test_hugging_face_for_node(node, minilm_vectors):
    vectors = minilm_vectors["mean"]
    assert same(node["features"], vectors)
    assert np.allclose(node["similarities"], vectors @ vectors[0], atol=1e-6)


def test_vercels_ai_for_node(node, minilm_vectors):
    assert same(node["vercel"]["embeddings"], minilm_vectors["mean"])


def test_concurrent_requests_get_the_same_bits_as_the_library(server, load):
    """Each vector equals that of `encode`, whatever else was in the batch."""
    texts = [text for text in mixed_texts()[::2] if text]
    expected = load("minilm", "float32").encode(texts, on_truncate="ignore")
    headers = {"authorization": f"Bearer {TOKEN}"}

    def ask(text):
        return server.ask("/embed", {"inputs": text}, headers=headers).json[0]

    with ThreadPoolExecutor(32) as pool:
        assert same(list(pool.map(ask, texts)), expected)


def test_a_text_of_megabytes_gets_the_same_bits_as_the_library(server, load):
    texts = [text for text in mixed_texts() if text]
    long = [" ".join(texts) * 20, "\u3000".join(texts) * 20, "漢" * 200_000, "x" * 200_000 + " end"]
    expected = load("minilm", "float32").encode(long, on_truncate="ignore")
    reply = server.ask("/embed", {"inputs": long}, headers={"authorization": f"Bearer {TOKEN}"})
    assert same(reply.json, expected)
    assert reply.headers["x-truncated-texts"] == "3"


def test_the_version_is_this_package(server):
    reply = server.ask("/info", headers={"authorization": f"Bearer {TOKEN}"})
    assert reply.json["version"] == engine.__version__
    assert reply.json["model_id"] == "sentence-transformers/all-MiniLM-L6-v2"
