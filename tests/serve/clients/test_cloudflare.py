"""Cloudflare's client for Python, and curl as its documentation shows it."""

import json
import os
import subprocess
import time

import cloudflare
import pytest

from tests.serve.clients.called import MODEL, TEXTS, TOKEN, same


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
