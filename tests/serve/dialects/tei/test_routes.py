"""The dialect of text-embeddings-inference over HTTP, with the fake model."""

import json

import numpy as np
import pytest

import engine
from engine.serve.dialects.tei import routes
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import shared_fake
from tests.serve.test_app import asking

TEXTS = ["hello you", "and me too"]


@pytest.fixture(scope="module")
def server():
    return shared_fake()


def vectors(reply):
    assert reply.status == 200, reply.body
    return np.array(reply.json, np.float32)


def test_embed_returns_an_array(server):
    reply = server.ask("/embed", {"inputs": TEXTS})
    assert np.array_equal(vectors(reply), FakeEmbedder().encode(TEXTS))  # cls, as the model says
    assert reply.headers["x-pooling"] == "cls"
    assert reply.headers["x-compute-tokens"] == "9"
    for name in ("total", "tokenization", "queue", "inference"):
        assert int(reply.headers[f"x-{name}-time"]) >= 0
    one = server.ask("/embed", {"inputs": TEXTS[0]})
    assert np.array_equal(vectors(one), FakeEmbedder().encode(TEXTS[:1]))


def test_embed_without_normalising_and_with_fewer_dimensions(server):
    body = {"inputs": TEXTS, "normalize": False, "dimensions": 7}
    expected = FakeEmbedder().encode(TEXTS, normalize=False, truncate_dim=7)
    assert np.array_equal(vectors(server.ask("/embed", body)), expected)
    nulls = {"inputs": TEXTS, "normalize": None, "dimensions": None, "truncate": None}
    assert np.array_equal(vectors(server.ask("/embed", nulls)), FakeEmbedder().encode(TEXTS))


def test_a_prompt_by_name(server):
    found = vectors(server.ask("/embed", {"inputs": "why", "prompt_name": "query"}))
    assert np.array_equal(found, FakeEmbedder().encode(["question: why"]))


def test_truncation(server):
    long = "w " * 100 + "last"
    both = [
        vectors(server.ask("/embed", {"inputs": long, "truncation_direction": side}))
        for side in ("Left", "Right")
    ]
    assert np.array_equal(both[0], FakeEmbedder().encode(["w " * 61 + "last"]))
    assert np.array_equal(both[1], FakeEmbedder().encode(["w " * 62]))
    refused = server.ask("/embed", {"inputs": [TEXTS[0], long], "truncate": False})
    assert refused.status == 422
    assert refused.json == {
        "error": "Input validation error: `inputs` must have less than 64 tokens. Given: 103",
        "error_type": "Validation",
    }


def test_embed_all_returns_a_vector_for_each_token(server):
    first, second = server.ask("/embed_all", {"inputs": TEXTS}).json
    assert [row[0] for row in first] == [1, 5, 3, 2]
    assert [row[0] for row in second] == [1, 3, 2, 3, 2]
    assert len(first[0]) == 16


def test_embed_all_has_a_limit(monkeypatch):
    """16 numbers a token; a text has at most 64 tokens."""

    async def check(client):
        for texts, status in ((3, 200), (4, 422)):
            body = json.dumps({"inputs": ["w " * 99] * texts}).encode()
            reply = await client("POST", "/embed_all", body)
            assert reply.status == status
        assert b"`inputs` may have 256 tokens" in reply.body

    monkeypatch.setattr(routes, "MAX_NUMBERS", 16 * 64 * 3)
    asking(check)


def test_similarity_is_the_cosine(server):
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": [*TEXTS, "other"]}}
    rows = FakeEmbedder().encode([*TEXTS, "other"])
    found = vectors(server.ask("/similarity", body))
    assert np.allclose(found, rows @ rows[0], atol=1e-6)
    assert found[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("path", ["/", "/invocations", "/embed/"])
def test_embed_has_other_addresses(server, path):
    body = {"inputs": TEXTS, "normalize": False, "prompt_name": "query"}
    expected = server.ask("/embed", body)
    assert np.array_equal(vectors(server.ask(path, body)), vectors(expected))


def test_the_root_compares_where_inputs_is_an_object(server):
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}}
    assert server.ask("/", body).json == server.ask("/similarity", body).json
    reply = server.ask("/", {"inputs": {"sentences": TEXTS}})
    assert reply.status == 422 and "source_sentence" in reply.json["error"]


def test_token_ids_are_computed_as_they_are(server):
    ids = [[1, 5, 3, 2], [1, 3, 2, 3, 2]]  # of TEXTS
    assert np.array_equal(vectors(server.ask("/embed", {"inputs": ids})), of_texts())
    assert np.array_equal(vectors(server.ask("/embed", {"inputs": ids[0]})), of_texts()[:1])
    rows = server.ask("/embed_all", {"inputs": ids, "prompt_name": "query"}).json
    assert [[row[0] for row in each] for each in rows] == ids
    for empty in ([[]], [[1, 2], []]):
        assert server.ask("/embed", {"inputs": empty}).json["error_type"] == "Empty"


def of_texts():
    return FakeEmbedder().encode(TEXTS)


def test_tokenize(server):
    (tokens,) = server.ask("/tokenize", {"inputs": "hello you"}).json
    assert tokens[0] == {"id": 1, "text": "[CLS]", "special": True, "start": None, "stop": None}
    assert tokens[2] == {"id": 3, "text": "you", "special": False, "start": 6, "stop": 9}
    (bare,) = server.ask("/tokenize", {"inputs": "hello you", "add_special_tokens": False}).json
    assert [token["id"] for token in bare] == [5, 3]


def test_decode(server):
    one = server.ask("/decode", {"ids": [1, 5, 3, 2]})
    assert one.status == 200 and one.json == ["wwwww www"]
    two = server.ask("/decode", {"ids": [[1, 3, 2], [4]], "skip_special_tokens": False})
    assert two.json == ["w www ww", "wwww"]


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        ([1, 600], "token id 600 is not in the vocabulary"),
        ("hello", "`ids` is 'hello'; it must be an array of token ids"),
        ([], "it must be an array of token ids"),
        ([[3], []], "cannot be empty"),
        ([3] * 200_001, "`ids` has 200001 token ids; the limit is 200000"),
    ],
)
def test_what_cannot_be_decoded_is_refused(server, ids, why):
    reply = server.ask("/decode", {"ids": ids})
    assert reply.status in (400, 422) and why in reply.json["error"]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "binary", "ubinary"])
def test_vectors_in_fewer_bytes(server, dtype):
    reply = server.ask("/embed", {"inputs": TEXTS, "output_dtype": dtype})
    expected = engine.quantize(FakeEmbedder().encode(TEXTS), dtype).values
    assert reply.json == expected.tolist()


def test_tokenize_has_a_limit(server):
    reply = server.ask("/tokenize", {"inputs": ["w " * 300_000] * 2})
    assert reply.status == 422
    assert "1200000 characters; the limit is 200000" in reply.json["error"]


def test_info_and_health(server):
    info = server.ask("/info").json
    assert info["model_type"] == {"embedding": {"pooling": "cls"}}
    assert (info["max_input_length"], info["max_client_batch_size"]) == (64, 2048)
    assert [(one["names"][0], one["precision"], one["threads"]) for one in info["models"]] == [
        ("fake", "fake", 1)
    ]
    for path in ("/health", "/ping", "/"):
        reply = server.ask(path)
        assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"inputs": ["a"] * 2049}, "batch size 2049 > maximum allowed batch size 2048"),
        ({"dimensions": 0}, "`dimensions` should be positive"),
        ({"dimensions": 17}, "`dimensions` should be smaller"),
        ({"dimensions": "5"}, "`dimensions` is '5'; it must be an integer or null."),
        ({"inputs": [1, 1000]}, "token id 1000 is not in the vocabulary"),
        ({"inputs": [1, "a"]}, "`inputs` is 'a'; it must be a string or an array of strings, or"),
        ({"inputs": [[1, 2], [3, True]]}, "`inputs[1]` is true; it must be"),
        ({"inputs": [[1, 2], "a"]}, "`inputs[1]` is 'a'; it must be an array of token ids"),
        ({"inputs": [[1] * 65], "truncate": False}, "a text has 65 tokens"),
        ({"inputs": 5}, "`inputs` is 5; it must be a string or an array of strings."),
        ({"inputs": None}, "`inputs` is null"),
        ({"inputs": ["a", None]}, "`inputs[1]` is null; it must be a string."),
        ({"truncate": "yes"}, "`truncate` is 'yes'; it must be true, false or null."),
        ({"normalize": 1}, "`normalize` is 1"),
        ({"truncation_direction": "up"}, "it must be one of Left, left, Right, right."),
        ({"prompt_name": "x"}, "this model's prompts: query."),
        ({"prompt_name": 5}, "`prompt_name` is 5"),
    ],
)
def test_an_invalid_field_is_a_validation_error(server, wrong, expected):
    reply = server.ask("/embed", {"inputs": "a", **wrong})
    assert (reply.status, reply.json["error_type"]) == (422, "Validation")
    assert expected in reply.json["error"]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("/embed", {"inputs": []}, "`inputs` cannot be empty"),
        ("/embed", {"inputs": ""}, "Input validation error: `inputs` cannot be empty"),
        ("/embed", {"inputs": ["a", ""]}, "Input validation error: `inputs` cannot be empty"),
        (
            "/similarity",
            {"inputs": {"source_sentence": "a", "sentences": []}},
            "`inputs.sentences` cannot be empty",
        ),
    ],
)
def test_empty_inputs_are_an_error_of_type_empty(server, path, body, expected):
    reply = server.ask(path, body)
    assert reply.status == 400
    assert reply.json == {"error": expected, "error_type": "Empty"}


@pytest.mark.parametrize(
    ("path", "body", "status", "type_", "expected"),
    [
        ("/embed", b"{", 400, "Validation", "Failed to parse the request body as JSON"),
        ("/embed", b"", 400, "Validation", "Failed to parse the request body as JSON"),
        ("/embed", b" " * 10_000_001, 413, "Validation", "Failed to buffer the request body"),
        ("/embed", [1], 422, "Validation", "The body is an array of 1"),
        ("/embed", {"inputs": "w" * 666}, 424, "Backend", "The model failed"),
        ("/similarity", {"inputs": {"sentences": ["a"]}}, 422, "Validation", "source_sentence"),
        ("/similarity", {"inputs": "a"}, 422, "Validation", "must be objects"),
        ("/nowhere", {}, 404, "Validation", "no such route"),
    ],
)
def test_other_errors(server, path, body, status, type_, expected):
    reply = server.ask(path, body)
    assert (reply.status, reply.json["error_type"]) == (status, type_)
    assert expected in reply.json["error"]


def test_metrics_have_teis_names(server):
    server.ask("/embed", {"inputs": TEXTS})
    text = server.ask("/metrics").body.decode()
    for name in (
        'te_request_count{method="batch",model="fake"}',
        'te_request_success{method="batch",model="fake"}',
        'te_request_failure{err="validation"}',
        "te_embed_count",
        "te_embed_success",
        "te_request_duration_bucket",
        "te_request_tokenization_duration_sum",
        "te_request_queue_duration_count",
        "te_request_inference_duration_count",
        "te_embed_duration_count",
        "te_embed_queue_duration_count",
        "te_request_input_length_bucket",
        "te_batch_next_size_count",
        "te_batch_next_tokens_sum",
        'te_queue_size{model="fake"} 0.0',
    ):
        assert name in text, name
