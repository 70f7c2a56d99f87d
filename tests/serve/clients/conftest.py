"""Existing clients with only another base URL, against a real server process with the weights of
all-MiniLM-L6-v2, which here also has Cloudflare's name of another model."""

import socket

import pytest

from tests.serve.clients.called import DOCUMENTS, MODEL, TEXTS, TOKEN
from tests.serve.serving import Server


@pytest.fixture(scope="package", autouse=True)
def only_this_machine():
    """The names of other machines that clients looked up. There must be none, even where a client
    ignores the error that it gets."""
    looked_up = []
    original = socket.getaddrinfo

    def getaddrinfo(host, *arguments, **named):
        if host not in ("127.0.0.1", "localhost", b"127.0.0.1"):
            looked_up.append(host)
            raise socket.gaierror(f"{host} is another machine")
        return original(host, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield looked_up
    assert not looked_up


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
