"""The field `chunking`, over HTTP with the fake model: 64 tokens, a word each."""

import numpy as np
import pytest

import engine
from engine.vectors.chunks import Chunks
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import shared_fake

WORDS = [f"w{'o' * (i % 7)}rd" for i in range(150)]
LONG = " ".join(WORDS)
PARTS = [" ".join(WORDS[i : i + 62]) for i in range(0, 150, 62)]  # and two special tokens


@pytest.fixture(scope="module")
def server():
    return shared_fake()


def ask(server, chunking, **body):
    request = {"model": "fake", "input": [LONG, "short one"], "chunking": chunking, **body}
    return server.ask("/v1/embeddings", request)


def of(reply):
    assert reply.status == 200, reply.body
    return np.array([item["embedding"] for item in reply.json["data"]], np.float32)


def expected_mean():
    vectors = FakeEmbedder().encode(PARTS)
    spans = np.zeros((3, 2), np.int64)
    return Chunks(vectors, spans, np.array([len(part.split()) + 2 for part in PARTS])).mean()


def test_one_vector_a_text_is_the_mean_of_its_chunks(server):
    for chunking in (True, {}, {"return": "mean"}, {"return": None, "max_tokens": None}):
        found = of(ask(server, chunking))
        assert found.shape == (2, 16)
        assert np.array_equal(found[0], expected_mean())
        assert np.array_equal(found[1], FakeEmbedder().encode("short one"))


def test_a_vector_a_chunk_with_its_place(server):
    reply = ask(server, {"return": "chunks"})
    assert np.array_equal(of(reply), FakeEmbedder().encode([*PARTS, "short one"]))
    data = reply.json["data"]
    assert [item["index"] for item in data] == [0, 1, 2, 3]
    assert [item["input"] for item in data] == [0, 0, 0, 1]
    assert [LONG[item["start"] : item["end"]] for item in data[:3]] == PARTS
    assert "x-truncated-texts" not in reply.headers
    assert reply.json["usage"]["total_tokens"] == 150 + 2 + 4 * 2


def test_without_the_field_a_long_text_is_cut(server):
    for off in (None, False):
        reply = ask(server, off)
        assert np.array_equal(of(reply)[0], FakeEmbedder().encode(LONG))
        assert reply.headers["x-truncated-texts"] == "1"


def test_teis_route_has_a_list_for_each_text(server):
    body = {"inputs": [LONG, "short one"], "chunking": {"return": "chunks"}}
    first, second = server.ask("/embed", body).json
    assert [LONG[chunk["start"] : chunk["end"]] for chunk in first] == PARTS
    found = np.array([chunk["embedding"] for chunk in first], np.float32)
    assert np.array_equal(found, FakeEmbedder().encode(PARTS))
    assert len(second) == 1 and second[0]["end"] == len("short one")
    mean = np.array(server.ask("/embed", {**body, "chunking": True}).json, np.float32)
    assert np.array_equal(mean[0], expected_mean())
    raw = server.ask("/embed", {**body, "chunking": True, "normalize": False}).json
    assert not np.isclose(np.linalg.norm(raw[0]), 1)


def test_with_fewer_bytes(server):
    reply = ask(server, {"return": "chunks"}, output_dtype="ubinary")
    bits = engine.quantize(FakeEmbedder().encode([*PARTS, "short one"]), "ubinary").values
    assert [item["embedding"] for item in reply.json["data"]] == bits.tolist()


def test_token_ids_are_one_chunk(server):
    body = {"inputs": [[1, 3, 5, 2]], "chunking": {"return": "chunks"}}
    ((chunk,),) = server.ask("/embed", body).json
    assert (chunk["start"], chunk["end"]) == (0, 4)
    assert np.array_equal(
        np.array(chunk["embedding"], np.float32), FakeEmbedder().encode("abc abcde")
    )


def test_a_named_prompt_takes_room(server):
    reply = ask(server, {"return": "chunks"}, prompt_name="query")
    parts = [" ".join(WORDS[i : i + 61]) for i in range(0, 150, 61)]
    expected = FakeEmbedder().encode([f"question: {part}" for part in [*parts, "short one"]])
    assert np.array_equal(of(reply), expected)


@pytest.mark.parametrize(
    ("chunking", "given", "why"),
    [
        ("yes", LONG, "`chunking` is 'yes'; it must be true, false or an object"),
        ({"return": "all"}, LONG, "it must be one of mean, chunks"),
        ({"max_tokens": 2}, LONG, "chunk_tokens is 2"),
        ({"max_tokens": "8"}, LONG, "`max_tokens` is '8'"),
        ({"max_tokens": 3}, "word " * 3000, "2048"),
        ({"overlap": 0.7}, LONG, "overlap is 0.7"),
    ],
)
def test_what_cannot_be_divided_is_refused(server, chunking, given, why):
    reply = server.ask("/v1/embeddings", {"model": "fake", "input": given, "chunking": chunking})
    assert reply.status == 400 and why in reply.json["error"]["message"]
    tei = server.ask("/embed", {"inputs": given, "chunking": chunking})
    assert tei.status == 422 and why in tei.json["error"]
