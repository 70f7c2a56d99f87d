"""Token ids on OpenAI's route. An encoding of bytes stands for cl100k, whose file is large."""

import json
import sys
from typing import Any

import numpy as np
import pytest
import tiktoken

from engine.errors import EngineError
from engine.serve.dialects.openai_ids import TokenIds
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.test_app import Client, asking

TEXTS = ["hello you", "and me too"]
RANKS = {bytes([i]): i for i in range(256)}
BYTES = tiktoken.Encoding("bytes", pat_str=r"(?s).", mergeable_ranks=RANKS, special_tokens={})


def encode(text: str) -> list[int]:
    return BYTES.encode(text)


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiktoken, "get_encoding", {"cl100k_base": BYTES}.__getitem__)


async def ask(client: Client, given: Any) -> Any:
    reply = await client("POST", "/v1/embeddings", json.dumps({"input": given}).encode())
    return reply.status, json.loads(reply.body)


def test_ids_of_openais_models_become_text(at_hand: None) -> None:
    async def check(client: Client) -> None:
        for given, texts in (([encode(x) for x in TEXTS], TEXTS), (encode(TEXTS[0]), TEXTS[:1])):
            status, body = await ask(client, given)
            found = np.array([item["embedding"] for item in body["data"]], np.float32)
            assert status == 200 and np.array_equal(found, FakeEmbedder().encode(texts))
        status, body = await ask(client, [[104, 256]])
        assert status == 400 and "has an id that cl100k_base has not" in body["error"]["message"]
        status, body = await ask(client, TEXTS)  # text is text
        assert status == 200

    asking(check, openai_ids="cl100k")


def test_a_text_may_end_within_a_character(at_hand: None) -> None:
    whole = encode("né")
    served: Any = None
    assert TokenIds("cl100k").read([whole, whole[:-1]], served) == ["né", "n\ufffd"]


def test_ids_are_refused_with_both_remedies() -> None:
    async def check(client: Client) -> None:
        status, body = await ask(client, [[101, 102]])
        message = body["error"]["message"]
        assert status == 400 and "check_embedding_ctx_length=False" in message
        assert "--openai-ids" in message and "cl100k" in message

    asking(check)


def test_without_tiktoken_the_server_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(EngineError, match=r"pip install 'bge-engine\[openai-ids\]'"):
        TokenIds("cl100k")
    TokenIds("own")


def test_without_its_file_the_server_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(tiktoken, "get_encoding", offline)
    with pytest.raises(EngineError, match=r"cl100k_base is not at hand .* TIKTOKEN_CACHE_DIR"):
        TokenIds("cl100k")
