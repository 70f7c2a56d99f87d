"""Existing clients with only another base URL, against a real server process with the weights of
all-MiniLM-L6-v2, which here also has Cloudflare's name of another model."""

import pytest

from tests.serve.clients.called import DOCUMENTS, MODEL, TEXTS, TOKEN
from tests.serve.serving import Server
from tests.support.network import only_this_machine

__all__ = ["only_this_machine"]


@pytest.fixture(scope="package")
def server(minilm, tmp_path_factory):
    database = tmp_path_factory.mktemp("queue") / "queue.sqlite"
    options = ("--model", f"{minilm}={MODEL}", "--queue", f"sqlite:///{database}")
    with Server("-m", "engine", "serve", *options, BGE_API_TOKENS=TOKEN) as server:
        yield server


@pytest.fixture(scope="package")
def minilm_vectors(load):
    """The vectors of the library, by pooling."""
    return {how: load("minilm", "float32").encode(TEXTS, pooling=how) for how in ("mean", "cls")}


@pytest.fixture(scope="package")
def document_vectors(load):
    """The vectors of the library for DOCUMENTS."""
    return load("minilm", "float32").encode(DOCUMENTS)
