"""Settings become models and limits; the address; the file limit."""

import resource
import socket

import pytest

from engine.errors import EngineError
from engine.serve import server
from engine.serve.app import App
from engine.serve.server import _config, _listen, _raise_file_limit, service_of
from engine.serve.settings import ModelChoice, Settings
from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import fake_server, shared_fake


def test_each_model_gets_a_batcher_with_the_limits_of_the_settings() -> None:
    settings = Settings(
        model=(ModelChoice("a", ("x",)), ModelChoice("b")),
        max_batch_tokens=11,
        max_waiting_texts=12,
        max_waiting_tokens=13,
    )
    service = service_of(settings, lambda choice, settings: FakeEmbedder(choice.source))
    assert [one.names for one in service.models.all] == [("a", "x"), ("b",)]
    for one in service.models.all:
        batcher = one.batcher
        assert batcher.embedder is one.embedder
        limits = (batcher.batch_tokens, batcher.waiting_texts, batcher.waiting_tokens)
        assert limits == (11, 12, 13)
    service.models.all[0].batcher.waiting = 3
    service.models.all[1].batcher.waiting = 4
    text = service.metrics.text()
    assert b'te_queue_size{model="a"} 3.0' in text and b'te_queue_size{model="b"} 4.0' in text
    assert service.queue is None


def test_uvicorn_gets_the_limits_of_the_settings() -> None:
    settings = Settings(request_timeout=1.5, read_timeout=2.0, keep_alive=7, max_connections=9)
    service = service_of(settings, lambda choice, settings: FakeEmbedder())
    config = _config(App(service), settings)
    assert config.timeout_graceful_shutdown == 4  # a request, and the rest of its response
    assert (config.timeout_keep_alive, config.limit_concurrency) == (7, 9)
    assert config.http.read_timeout == 2.0


@pytest.mark.slow
def test_pages_of_allowed_origins_may_use_the_server() -> None:
    origin = {"origin": "https://a.example"}
    preflight = {
        **origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    allow = "access-control-allow-origin"
    with fake_server("--cors-allow-origin", "https://a.example", BGE_API_TOKENS="secret") as own:
        reply = own.ask("/v1/embeddings", method="OPTIONS", headers=preflight)  # without a token
        assert (reply.status, reply.headers[allow]) == (200, "https://a.example")
        assert "authorization" in reply.headers["access-control-allow-headers"]
        headers = {**origin, "authorization": "Bearer secret"}
        reply = own.ask("/embed", {"inputs": "a"}, headers=headers)
        assert (reply.status, reply.headers[allow]) == (200, "https://a.example")
        stranger = own.ask("/embed", {"inputs": "a"}, headers={**headers, "origin": "https://b"})
        assert stranger.status == 200 and allow not in stranger.headers
    assert allow not in shared_fake().ask("/health", headers=origin).headers


def test_an_address_in_use_is_an_error_before_a_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def load(choice: ModelChoice, settings: Settings) -> None:
            raise AssertionError("a model is loaded")

        with pytest.raises(EngineError, match=rf"cannot listen on 127.0.0.1 port {port}: "):
            server.serve(Settings(port=port), load)
    nowhere = _listen(Settings(host="256.0.0.1", allow_anonymous=True))
    with pytest.raises(EngineError, match="choose another address with --host and --port"), nowhere:
        pass


def test_an_address_is_bound_but_accepts_no_connections_yet() -> None:
    with _listen(Settings(port=0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)
        listener.listen()
        socket.create_connection(("127.0.0.1", port), 1).close()


def test_the_file_limit_is_raised_up_to_the_hard_limit() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        _raise_file_limit(128)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (128, before[1])
        _raise_file_limit(100)  # never less than there is
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 128
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
