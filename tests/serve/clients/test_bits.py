"""Whatever else is computed at the time, the server has the bits of the library."""

from concurrent.futures import ThreadPoolExecutor

import engine
from tests.serve.clients.called import TOKEN, same
from tests.support.texts import mixed_texts


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
