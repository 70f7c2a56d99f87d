"""OpenAI's dialect over HTTP, with the fake model."""

import base64
import json

import numpy as np
import pytest

import engine
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import shared_fake
from tests.serve.test_app import asking

ROUTES = [
    "/v1/embeddings",
    "/client/v4/accounts/acc/ai/v1/embeddings",
    "/embeddings",
    "/v1/embeddings/",
    "/openai/v1/embeddings",
    "/openai/deployments/fake/embeddings?api-version=2024-10-21",
]


@pytest.fixture(scope="module")
def server():
    return shared_fake()


def ask(server, path=ROUTES[0], **body):
    return server.ask(path, {"model": "fake", "input": "hello you", **body})


@pytest.mark.parametrize("path", ROUTES)
def test_floats(server, path):
    reply = ask(server, path, input=["hello you", "and me"], user="somebody")
    expected = FakeEmbedder().encode(["hello you", "and me"])  # cls, as the checkpoint says
    body = reply.json
    assert body["object"] == "list"
    assert [item["index"] for item in body["data"]] == [0, 1]
    assert {item["object"] for item in body["data"]} == {"embedding"}
    found = np.array([item["embedding"] for item in body["data"]], np.float32)
    assert np.array_equal(found, expected)
    assert body["model"] == "fake"
    assert body["usage"] == {"prompt_tokens": 8, "total_tokens": 8}
    assert body["pooling"] == reply.headers["x-pooling"] == "cls"


def test_base64_is_little_endian_float32_and_optional(server):
    written = ask(server, encoding_format="base64").json["data"][0]["embedding"]
    assert isinstance(written, str)
    found = np.frombuffer(base64.b64decode(written, validate=True), "<f4")
    assert np.array_equal(found, FakeEmbedder().encode("hello you"))
    for how in ({}, {"encoding_format": "float"}, {"encoding_format": None}):
        assert isinstance(ask(server, **how).json["data"][0]["embedding"], list)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "binary", "ubinary"])
def test_vectors_in_fewer_bytes(server, dtype):
    texts = ["hello you", "and me"]
    values, scales = engine.quantize(FakeEmbedder().encode(texts), dtype)
    data = ask(server, input=texts, output_dtype=dtype).json["data"]
    assert [item["embedding"] for item in data] == values.tolist()
    coded = ask(server, input=texts, output_dtype=dtype, encoding_format="base64").json["data"]
    for i, item in enumerate(coded):
        found = np.frombuffer(base64.b64decode(item["embedding"]), values.dtype)
        assert np.array_equal(found, values[i])
        assert np.float32(item.get("scale", -1)) == (-1 if scales is None else scales[i])


def test_an_unknown_type_is_refused(server):
    unknown = ask(server, output_dtype="int4").json["error"]
    assert unknown["param"] == "output_dtype" and "one of float, int8" in unknown["message"]


def test_pooling_is_an_extra_field(server):
    body = ask(server, pooling="mean").json
    expected = FakeEmbedder().encode("hello you", pooling="mean")
    assert np.array_equal(np.array(body["data"][0]["embedding"], np.float32), expected)
    assert body["pooling"] == "mean"


def test_the_only_model_needs_no_name(server):
    for body in ({"input": "hello you"}, {"input": "hello you", "model": None}):
        reply = server.ask("/v1/embeddings", body)
        assert (reply.status, reply.json["model"]) == (200, "fake")


def test_the_path_of_a_deployment_names_the_model(server):
    reply = server.ask("/openai/deployments/other/embeddings", {"input": "a", "model": "fake"})
    assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")
    named = server.ask("/openai/deployments/@cf/baai/bge-base-en-v1.5/embeddings", {"input": "a"})
    assert named.json["model"] == "@cf/baai/bge-base-en-v1.5"


@pytest.mark.parametrize(
    ("asked", "prompt"),
    [
        ({"input_type": "query"}, "question: "),
        ({"input_type": "search_query"}, "question: "),
        ({"input_type": "document"}, ""),
        ({"input_type": "passage"}, ""),
        ({"prompt_name": "query"}, "question: "),
        ({"prompt_name": "query", "input_type": "document"}, "question: "),
        ({"prompt_name": None, "input_type": None}, ""),
    ],
)
def test_prompts_by_what_the_texts_are(server, asked, prompt):
    (item,) = ask(server, input="why", **asked).json["data"]
    expected = FakeEmbedder().encode(f"{prompt}why")
    assert np.array_equal(np.array(item["embedding"], np.float32), expected)


def test_token_ids_where_clients_send_those_of_the_model():
    async def check(client):
        for given in ([1, 5, 3, 2], [[1, 5, 3, 2]]):
            body = json.dumps({"input": given}).encode()
            reply = await client("POST", "/v1/embeddings", body)
            (item,) = json.loads(reply.body)["data"]
            found = np.array(item["embedding"], np.float32)
            assert np.array_equal(found, FakeEmbedder().encode("hello you"))
        wrong = await client("POST", "/v1/embeddings", b'{"input": [[1, 100000]]}')
        assert wrong.status == 400 and b"not in the vocabulary" in wrong.body

    asking(check, openai_ids="own")


def test_dimensions_truncate_before_normalising(server):
    body = ask(server, dimensions=5).json
    expected = FakeEmbedder().encode("hello you", normalize=True, truncate_dim=5)
    assert np.array_equal(np.array(body["data"][0]["embedding"], np.float32), expected)


def test_2048_texts_are_accepted_and_2049_are_not(server):
    texts = [f"text {i}" for i in range(2049)]
    reply = ask(server, input=texts[:2048])
    found = np.array([item["embedding"] for item in reply.json["data"]], np.float32)
    assert np.array_equal(found, FakeEmbedder().encode(texts[:2048]))
    refused = ask(server, input=texts)
    assert refused.status == 400
    assert "2048 or less" in refused.json["error"]["message"]


@pytest.mark.parametrize("path", ROUTES)
def test_an_error_has_the_fields_of_openai_and_of_cloudflare(server, path):
    body = ask(server, path, input="").json
    message = body["error"]["message"]
    assert message.startswith("'$.input' is invalid")
    assert body["error"] == {
        "message": message,
        "type": "invalid_request_error",
        "param": "input",
        "code": "5006",
    }
    assert body["errors"] == [{"code": 5006, "message": message}]
    assert (body["success"], body["result"], body["messages"]) == (False, {}, [])


@pytest.mark.parametrize(
    ("wrong", "status", "expected"),
    [
        ({"input": [101, 2023, 102]}, 400, "check_embedding_ctx_length=False"),
        ({"input": [[101, 102], [101, 103]]}, 400, "check_embedding_ctx_length=False"),
        ({"input": []}, 400, "'$.input' is invalid"),
        ({"input": None}, 400, "'$.input' is invalid"),
        ({"input": ["a", ""]}, 400, "input[1] is empty"),
        ({"input": ["a", None]}, 400, "`input[1]` is null"),
        ({"input": {"a": 1}}, 400, "`input` is an object"),
        ({"model": 5}, 400, "`model` is 5"),
        ({"model": "gpt-9"}, 404, "No such model gpt-9"),
        (
            {"encoding_format": "md5"},
            400,
            "Invalid value for 'encoding_format' = md5. Supported values: ['float', 'base64'].",
        ),
        ({"dimensions": 0}, 400, "`dimensions` is 0; it must be from 1 to 16"),
        ({"dimensions": 17}, 400, "`dimensions` is 17"),
        ({"dimensions": "5"}, 400, "`dimensions` is '5'"),
        ({"dimensions": True}, 400, "`dimensions` is true"),
        ({"pooling": "max"}, 400, "`pooling` is 'max'; it must be one of mean, cls"),
        ({"user": 5}, 400, "`user` is 5"),
        ({"input_type": "title"}, 400, "`input_type` is 'title'; it must be one of"),
        ({"prompt_name": "title"}, 400, "`prompt_name` is 'title'; this model's prompts: query."),
    ],
)
def test_an_invalid_field_is_named_in_the_error(server, wrong, status, expected):
    reply = ask(server, **wrong)
    assert reply.status == status
    assert expected in reply.json["error"]["message"]


def test_a_body_that_is_not_an_object(server):
    assert "an array of 1" in server.ask(ROUTES[0], [5]).json["error"]["message"]
    assert server.ask(ROUTES[0], b"nonsense").status == 400


def test_models_are_listed_and_found_by_every_name(server):
    for prefix in ("", "/v1", "/openai/v1", "/client/v4/accounts/acc/ai/v1"):
        listed = server.ask(f"{prefix}/models").json
        names = ["fake", "@cf/baai/bge-base-en-v1.5"]
        assert [model["id"] for model in listed["data"]] == names
        one = server.ask(f"{prefix}/models/@cf/baai/bge-base-en-v1.5").json
        assert one["id"] == "@cf/baai/bge-base-en-v1.5"
        missing = server.ask(f"{prefix}/models/nope")
        assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")


def test_an_unknown_route_and_a_wrong_method(server):
    assert server.ask("/v1/nowhere").json["error"]["code"] == "unknown_url"
    reply = server.ask("/v1/embeddings", method="GET")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
