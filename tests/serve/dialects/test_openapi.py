"""The OpenAPI document is correct: schemathesis generates valid and invalid requests from it, and
compares the responses with it."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.serve.app import App
from engine.serve.dialects import chunking
from engine.serve.dialects.openapi import document
from engine.serve.http.tokens_file import TokensFile
from engine.serve.server import service_of
from engine.serve.settings import ModelChoice, Settings
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import fake_server, shared_fake

TOKEN = "a-token-of-the-tests"
HERE = Path(__file__).parent


def test_the_document_lists_the_models_and_limits_of_this_server():
    document = shared_fake().ask("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    run = document["paths"]["/client/v4/accounts/{account}/ai/run/{model}"]["post"]
    (model,) = [each for each in run["parameters"] if each["name"] == "model"]
    assert model["schema"]["enum"] == ["fake", "@cf/baai/bge-base-en-v1.5"]
    assert not any(each["name"] == "queueRequest" for each in run["parameters"])
    assert document["security"] == []


def test_the_document_says_whether_a_token_is_needed():
    for settings in (
        Settings(model=(ModelChoice("fake"),), tokens=("x",)),
        Settings(model=(ModelChoice("fake"),), tokens_file=TokensFile(HERE, ("x",), False)),
    ):
        service = service_of(settings, lambda *_: FakeEmbedder())
        assert document(service, [])["security"] == [{"token": []}]


def test_a_chunk_is_longer_than_the_default_prompt():
    settings = Settings(model=(ModelChoice("fake"),), default_prompt="one two three four ")
    service = service_of(settings, lambda *_: FakeEmbedder())
    (_, fields) = chunking.schema(service.models.all)["oneOf"]
    assert fields["properties"]["max_tokens"]["minimum"] == 4 + 2 + 1


def test_the_document_describes_exactly_the_routes():
    service = service_of(Settings(model=(ModelChoice("fake"),)), lambda *_: FakeEmbedder())
    routes = {
        (route.path.replace(":path", ""), method.lower())
        for route in App(service).routes
        for method in route.methods - {"HEAD"}
    }
    described = {
        (path, method)
        for path, methods in shared_fake().ask("/openapi.json").json["paths"].items()
        for method in methods.keys() & {"get", "post"}
    }
    assert described == routes


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_schemathesis_finds_no_failures(seed, tmp_path):
    queue = f"sqlite:///{tmp_path}/queue.sqlite"
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(HERE / "schemathesis.toml"),
        "run",
        "--header",
        f"Authorization: Bearer {TOKEN}",
        "--max-examples",
        "25",
        "--seed",
        str(seed),
        "--no-color",
    ]
    with fake_server("--queue", queue, BGE_API_TOKENS=TOKEN) as server:
        done = subprocess.run(
            [*command, f"{server.url}/openapi.json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout[-10_000:]
    assert "Tested: 34" in done.stdout
