"""The request schemas accept what TEI's routes accept, within this server's limits."""

import pytest
from jsonschema import Draft202012Validator as Validator

from engine.serve.dialects.tei import openapi
from engine.serve.server import service_of
from engine.serve.settings import ModelChoice, Settings
from tests.serve.fake_embedder import DIM, FakeEmbedder

SETTINGS = Settings(model=(ModelChoice("fake"),), max_client_batch_size=3)
PATHS = openapi.paths(service_of(SETTINGS, lambda *_: FakeEmbedder()))


@pytest.mark.parametrize(
    ("route", "body", "valid"),
    [
        ("/embed", {"inputs": "a"}, True),
        ("/embed", {"inputs": ["a"] * 3, "truncate": None, "dimensions": DIM}, True),
        ("/embed", {"inputs": ["a"] * 4}, False),
        ("/embed", {"inputs": "a", "dimensions": DIM + 1}, False),
        ("/embed", {"inputs": "a", "prompt_name": "query"}, True),
        ("/embed", {"inputs": "a", "prompt_name": "nothing"}, False),
        ("/embed_all", {"inputs": "a", "truncation_direction": "Left"}, True),
        ("/embed_all", {}, False),
        ("/", {"inputs": "a"}, True),
        ("/", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}, True),
        ("/", {"inputs": {"sentences": ["b"]}}, False),
        ("/invocations", {"inputs": ["a"]}, True),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}}, True),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, False),
        ("/tokenize", {"inputs": "a", "add_special_tokens": False}, True),
    ],
)
def test_bodies(route: str, body: dict[str, object], valid: bool) -> None:
    content = PATHS[route]["post"]["requestBody"]["content"]["application/json"]
    assert Validator(content["schema"]).is_valid(body) is valid


def test_probes_need_no_token() -> None:
    public = {
        path for path, methods in PATHS.items() if methods.get("get", {}).get("security") == []
    }
    assert public == {"/", "/health", "/ping", "/metrics"}
    assert "401" in PATHS["/info"]["get"]["responses"]
