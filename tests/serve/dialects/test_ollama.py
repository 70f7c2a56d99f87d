"""Ollama's dialect over HTTP, with the fake model."""

import numpy as np
import pytest

import engine
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import shared_fake

TEXTS = ["hello you", "and me too"]


@pytest.fixture(scope="module")
def server():
    return shared_fake()


def ask(server, path="/api/embed", **body):
    return server.ask(path, {"model": "fake", **body})


def test_embed(server):
    for given, expected in ((TEXTS, TEXTS), (TEXTS[0], TEXTS[:1])):
        reply = ask(server, input=given, options={"num_ctx": 5}, keep_alive="5m")
        found = np.array(reply.json["embeddings"], np.float32)
        assert np.array_equal(found, FakeEmbedder().encode(expected))
        assert reply.json["model"] == "fake" and reply.json["total_duration"] > 0
        assert reply.json["prompt_eval_count"] == (9 if given == TEXTS else 4)


def test_a_name_may_have_the_latest_tag(server):
    reply = ask(server, model="fake:latest", input="a")
    assert (reply.status, reply.json["model"]) == (200, "fake:latest")
    assert server.ask("/api/embed", {"input": "a"}).json["model"] == "fake"


def test_embed_with_fewer_dimensions(server):
    found = ask(server, input=TEXTS, dimensions=5).json["embeddings"]
    expected = FakeEmbedder().encode(TEXTS, normalize=True, truncate_dim=5)
    assert np.array_equal(np.array(found, np.float32), expected)


def test_embeddings_is_one_vector(server):
    found = ask(server, "/api/embeddings", prompt=TEXTS[0]).json["embedding"]
    assert np.array_equal(np.array(found, np.float32), FakeEmbedder().encode(TEXTS[0]))


def test_tags_and_version(server):
    assert server.ask("/api/tags").json == {"models": [{"name": "fake", "model": "fake"}]}
    assert server.ask("/api/version").json == {"version": engine.__version__}


@pytest.mark.parametrize(
    ("path", "body", "status", "expected"),
    [
        ("/api/embed", {"input": "a", "model": "x"}, 404, "No such model x"),
        ("/api/embed", {"input": []}, 400, "`input` has 0 texts; it must have from 1 to 2048."),
        ("/api/embed", {"input": ["a"] * 2049}, 400, "`input` has 2049 texts"),
        ("/api/embed", {"input": 5}, 400, "`input` is 5"),
        ("/api/embed", {"input": ["a", None]}, 400, "`input[1]` is null"),
        ("/api/embed", {"input": "a", "dimensions": 17}, 400, "`dimensions` is 17"),
        ("/api/embed", {"input": "w " * 100, "truncate": False}, 400, "Given: 102"),
        ("/api/embed", {"input": "w" * 666}, 500, "The model failed"),
        ("/api/embeddings", {}, 400, "`prompt` is missing"),
        ("/api/nowhere", {}, 404, "no such route"),
    ],
)
def test_errors_are_one_sentence(server, path, body, status, expected):
    reply = ask(server, path, **body)
    assert (reply.status, list(reply.json)) == (status, ["error"])
    assert expected in reply.json["error"]
