"""Cloudflare's dialect over HTTP, with the fake model: bodies, codes, messages, headers."""

import asyncio
import functools
import uuid

import numpy as np
import pytest

from engine.serve.dialects.cloudflare import run_item
from engine.serve.server import service_of
from engine.serve.settings import Settings
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import shared_fake

RUN = "/client/v4/accounts/acc/ai/run/@cf/baai/bge-base-en-v1.5"
QUEUED = f"{RUN}?queueRequest=true"
TEXTS = ["This is a story about an orange cloud", "This is a story about a llama"]


@pytest.fixture(scope="module")
def server():
    return shared_fake()


def error_of(reply, code):
    """The only error of the body; also checks the envelope."""
    body = reply.json
    assert (body["success"], body["messages"]) == (False, [])
    assert [error["code"] for error in body["errors"]] == [code]
    return body["errors"][0]["message"]


def test_the_example_of_cloudflares_documentation(server):
    reply = server.ask(RUN, {"text": TEXTS})
    assert reply.status == 200
    body = reply.json
    expected = FakeEmbedder().encode(TEXTS, pooling="mean")
    assert np.array_equal(np.array(body["result"]["data"], np.float32), expected)
    assert body["result"]["shape"] == [2, 16]
    assert body["result"]["pooling"] == "mean"
    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])
    assert set(body) == {"result", "success", "errors", "messages"}
    assert reply.headers["x-pooling"] == "mean"
    assert uuid.UUID(reply.headers["cf-ai-req-id"])
    assert reply.headers["x-request-id"] == reply.headers["cf-ai-req-id"]


def test_one_string_gives_one_row_and_cls_is_an_option(server):
    body = server.ask(RUN, {"text": "hello you", "pooling": "cls"}).json
    assert body["result"]["shape"] == [1, 16]
    expected = FakeEmbedder().encode(["hello you"], pooling="cls")
    assert np.array_equal(np.array(body["result"]["data"], np.float32), expected)


@pytest.mark.parametrize(
    "model", ["@cf%2Fbaai%2Fbge-base-en-v1.5", "%40cf/baai/bge-base-en-v1.5", "fake"]
)
def test_model_names_raw_or_percent_encoded(server, model):
    assert server.ask(f"/client/v4/accounts/acc/ai/run/{model}", {"text": "a"}).status == 200


@pytest.mark.parametrize(
    "content_type", [None, "application/x-www-form-urlencoded", "text/plain", "application/json"]
)
def test_bodies_are_json_whatever_the_content_type(server, content_type):
    headers = {"content-type": content_type} if content_type else {}
    assert server.ask(RUN, b' {"text": "a"}', headers=headers).status == 200


def test_invalid_input_is_5006_with_the_validators_message_and_the_request_id(server):
    reply = server.ask(RUN, {"text": 5})
    assert reply.status == 400
    message = error_of(reply, 5006)
    assert message == (
        "AiError: Bad input: Error: oneOf at '/' not met, 0 matches: Type mismatch of '/text', "
        "'string' not in 'number','integer', required properties at '/' are 'text', "
        f"required properties at '/' are 'requests' ({reply.headers['cf-ai-req-id']})"
    )
    assert reply.json["result"] == {}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "expected"),
    [
        (f"{RUN}-x", {"text": "a"}, 400, 5007, "No such model @cf/baai/bge-base-en-v1.5-x or task"),
        (RUN, b"", 400, 3003, "Request is missing headers or body"),
        (RUN, b"{", 400, 5006, "Bad input: Error: The body is not JSON"),
        (RUN, b" " * 10_000_001, 413, 3006, "Request is too large"),
        (QUEUED, {"requests": []}, 400, 5006, "Bad input: Error: minItems at '/requests'"),
        (QUEUED, {"requests": [{"text": "a"}]}, 400, 8007, "This model does not support request"),
        (RUN, {"text": "w" * 666}, 500, 500, "The model failed"),
    ],
)
def test_errors_of_workers_ai(server, path, body, status, code, expected):
    reply = server.ask(path, body)
    assert reply.status == status
    assert error_of(reply, code).startswith(f"AiError: {expected}")
    assert reply.json["result"] == {}
    assert reply.headers["cf-ai-req-id"] in error_of(reply, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "expected"),
    [
        ("GET", "/client/v4/nowhere", 400, 7000, "No route for that URI"),
        (
            "POST",
            "/client/v4/accounts/acc/ai/rum/x",
            404,
            7003,
            "Could not route to /client/v4/accounts/acc/ai/rum/x, perhaps your object identifier "
            "is invalid?",
        ),
        ("GET", RUN, 405, 7001, "GET not supported for requested URI"),
    ],
)
def test_errors_of_the_gateway(server, method, path, status, code, expected):
    reply = server.ask(path, method=method)
    assert reply.status == status
    assert error_of(reply, code) == expected
    assert reply.json["result"] is None
    assert "cf-ai-req-id" not in reply.headers
    assert uuid.UUID(reply.headers["x-request-id"])


def test_a_wrong_method_gets_an_allow_header(server):
    assert server.ask(RUN, method="DELETE").headers["allow"] == "POST"


def test_a_batch_that_is_not_queued_is_computed_immediately(server):
    requests = [
        {"text": "one two", "external_reference": "r"},
        {"text": ["three", "four five"], "pooling": "cls"},
        {"text": "six"},
    ]
    result = server.ask(RUN, {"requests": requests}).json["result"]
    assert [each["id"] for each in result["responses"]] == [0, 1, 2]
    assert [each["external_reference"] for each in result["responses"]] == ["r", None, None]
    fake = FakeEmbedder()
    for asked, got in zip(requests, result["responses"], strict=True):
        texts = asked["text"] if isinstance(asked["text"], list) else [asked["text"]]
        pooling = asked.get("pooling", "mean")
        expected = fake.encode(texts, pooling=pooling)
        assert got["success"] is True
        assert got["result"]["pooling"] == pooling
        assert np.array_equal(np.array(got["result"]["data"], np.float32), expected)
    assert result["usage"] == {"prompt_tokens": 14, "completion_tokens": 0, "total_tokens": 14}


def test_texts_over_the_limit_are_truncated_and_counted(server):
    reply = server.ask(RUN, {"text": ["w " * 200, "short"]})
    assert reply.status == 200
    assert reply.headers["x-truncated-texts"] == "1"


def test_the_list_of_models_has_one_page(server):
    body = server.ask("/client/v4/accounts/acc/ai/models/search").json
    (model,) = body["result"]
    assert model["name"] == "fake"
    assert {"property_id": "max_input_tokens", "value": "64"} in model["properties"]
    assert body["result_info"]["total_count"] == 1
    assert server.ask("/client/v4/accounts/acc/ai/models/search?page=2").json["result"] == []
    assert server.ask("/client/v4/accounts/acc/ai/models/search?search=zz").json["result"] == []


def test_the_schema_of_a_model(server):
    path = "/client/v4/accounts/acc/ai/models/schema?model="
    schema = server.ask(path + "@cf/baai/bge-base-en-v1.5").json["result"]
    forms = [form["required"] for form in schema["input"]["oneOf"]]
    assert forms == [["text"], ["requests"]]
    assert server.ask(path + "nope").status == 400


def test_tokens_can_be_verified(server):
    for path in ("/client/v4/user/tokens/verify", "/client/v4/accounts/acc/tokens/verify"):
        body = server.ask(path).json
        assert body["result"]["status"] == "active"
        assert body["messages"][0]["message"] == "This API Token is valid and active"


def test_an_item_of_a_queued_batch_fails_alone():
    """The result of each item, valid or not; they are computed together."""

    async def test():
        service = service_of(Settings(), lambda choice, settings: FakeEmbedder())
        service.models.start()
        run = functools.partial(run_item, service)
        items = [{"text": "a b"}, {"text": ["c", "w" * 777]}, {"text": 5}, {"text": "w" * 666}]
        outcomes = await asyncio.gather(*(run("fake", item) for item in items[:3]))
        outcomes.append(await run("fake", items[3]))
        await service.models.stop()
        return outcomes

    good, not_finite, invalid, failed = asyncio.run(test())
    assert good["success"] and good["prompt_tokens"] == 4
    assert np.array_equal(good["result"]["data"], FakeEmbedder().encode(["a b"], pooling="mean"))
    for outcome, code, expected in (
        (not_finite, 500, "text 1 of this request is not finite"),
        (invalid, 5006, "Bad input"),
        (failed, 500, "The model failed on a batch"),
    ):
        assert (outcome["success"], outcome["result"]) == (False, None)
        assert outcome["error"]["code"] == code and expected in outcome["error"]["message"]
