"""Slow clients, disconnects, timeouts, and overload."""

import contextlib
import json
import signal
import socket
import threading
import time

import pytest

from tests.serve.serving import ended, fake_server, shared_fake, works

RUN = "/client/v4/accounts/acc/ai/run/fake"
ROUTES = (RUN, "/v1/embeddings", "/embed")
POST = b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n"
EXPECTING = POST + b"expect: 100-continue\r\n\r\n"


def test_endless_headers():
    server = shared_fake()
    with server.connect() as peer:
        peer.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for i in range(100_000):
                peer.sendall(b"x-%d: %s\r\n" % (i, b"y" * 1000))
    assert works(server)


def test_responses_to_head_have_no_body():
    with shared_fake().connect(timeout=5) as peer:
        for path in (b"/health", b"/info", b"/nowhere"):
            peer.sendall(b"HEAD %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)
            head, _, body = peer.recv(100_000).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 404 " if path == b"/nowhere" else b"HTTP/1.1 200 ")
            assert body == b""


def test_expect_100_continue():
    with shared_fake().connect(timeout=5) as peer:
        peer.sendall(EXPECTING)
        assert peer.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b'{"inputs": "a"}')
        assert peer.recv(100_000).startswith(b"HTTP/1.1 200 ")


def test_slow_loris():
    with fake_server("--read-timeout", "0.5", "--keep-alive", "1") as server:
        silent, heading, sending, idle = (server.connect() for _ in range(4))
        heading.sendall(b"POST /embed HTTP/1.1\r\nhost:")
        sending.sendall(b'POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{"inp')
        idle.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        began = time.perf_counter()
        assert ended(silent).startswith(b"HTTP/1.1 408 ")
        assert ended(heading).startswith(b"HTTP/1.1 408 ")
        late = ended(sending)
        assert late.startswith(b"HTTP/1.1 408 ")
        assert b"did not arrive within 0.5 seconds" in late
        assert ended(idle).startswith(b"HTTP/1.1 200 ")
        assert time.perf_counter() - began < 5
        for peer in (silent, heading, sending, idle):
            peer.close()
        assert works(server)


def test_single_bytes_do_not_extend_the_read_timeout():
    with fake_server("--read-timeout", "1") as server, server.connect() as peer:
        began = time.perf_counter()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for byte in b"GET /health HTTP/1.1\r\nhost: " + b"x" * 1000:
                peer.sendall(bytes([byte]))
                time.sleep(0.05)
        assert time.perf_counter() - began < 5
        assert works(server)


@contextlib.contextmanager
def connect_without_reading(server):
    """A connection with a small receive buffer, and a request for half a megabyte."""
    body = json.dumps({"model": "fake", "input": ["some text"] * 2048}).encode()
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", server.port))
        yield peer, head + body


def test_a_client_that_does_not_read_its_responses_is_disconnected():
    with fake_server("--read-timeout", "0.5") as server:
        lost = pytest.raises((BrokenPipeError, ConnectionResetError))
        with connect_without_reading(server) as (peer, request), lost:
            for _ in range(200):
                peer.sendall(request)
                time.sleep(0.05)
        assert works(server)
        assert server.stop() == 0


def test_a_client_that_does_not_read_does_not_block_the_shutdown():
    server = fake_server("--read-timeout", "1")
    with server, connect_without_reading(server) as (peer, request):
        peer.sendall(request * 10)
        time.sleep(0.5)  # the first responses fill the buffers of the connection
        began = time.perf_counter()
        assert server.stop() == 0
        assert time.perf_counter() - began < 10


def test_a_request_that_takes_too_long_gets_408():
    with fake_server("--request-timeout", "0.3", FAKE_SECONDS_A_BATCH="1.5") as server:
        began = time.perf_counter()
        body = {"model": "fake", "text": "a", "input": "a", "inputs": "a"}
        replies = [server.ask(path, body) for path in ROUTES]
        assert [reply.status for reply in replies] == [408] * 3
        assert time.perf_counter() - began < 3
        assert replies[0].json["errors"][0]["code"] == 3007
        assert replies[1].json["error"]["type"] == "timeout"
        assert replies[2].json["error_type"] == "Backend"


def test_a_full_queue_returns_429_immediately_in_each_dialect():
    options = ("--max-waiting-texts", "8", "--max-batch-tokens", "3")
    with fake_server(*options, FAKE_SECONDS_A_BATCH="0.5") as server:
        waiting = [
            threading.Thread(target=server.ask, args=("/embed", {"inputs": "a"})) for _ in range(8)
        ]
        for thread in waiting:
            thread.start()
        while b'te_queue_size{model="fake"} 8.0' not in server.ask("/metrics").body:
            time.sleep(0.01)
        began = time.perf_counter()
        body = {"model": "fake", "text": "a", "input": "a", "inputs": "a"}
        replies = [server.ask(path, body) for path in ROUTES]
        assert time.perf_counter() - began < 0.5
        assert [reply.status for reply in replies] == [429] * 3
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies)
        error = replies[0].json["errors"][0]
        assert error["code"] == 3040
        assert "AiError: Capacity temporarily exceeded, please try again." in error["message"]
        assert replies[1].json["error"]["code"] == "rate_limit_exceeded"
        assert replies[2].json == {"error": "Model is overloaded", "error_type": "Overloaded"}
        busy = server.ask(RUN, {"text": "a", "options": {"rejectIfBusy": True}})
        assert busy.json["errors"][0]["code"] == 3040
        for thread in waiting:
            thread.join()
        assert server.ask(RUN, {"text": "a", "options": {"rejectIfBusy": True}}).status == 200
        assert b'te_request_failure{err="overloaded"} 4.0' in server.ask("/metrics").body


@contextlib.contextmanager
def full_server(*options: str, **environ: str):
    """A server with room for one text, which is in use for a minute."""
    few = ("--max-waiting-texts", "1", "--max-batch-tokens", "3")
    server = fake_server(*few, *options, FAKE_SECONDS_A_BATCH="60", **environ)
    token = environ.get("BGE_API_TOKENS", "x").encode()
    head = POST + b"authorization: Bearer %b\r\n\r\n"
    with server.connect() as peer:
        peer.sendall(head % token + b'{"inputs": "a"}')
        while b'te_queue_size{model="fake"} 1.0' not in server.ask("/metrics").body:
            time.sleep(0.01)
        try:
            yield server
        finally:
            server.stop(signal.SIGKILL)  # SIGTERM would wait for that minute


def test_a_full_server_still_serves_the_other_routes():
    with full_server() as server:
        assert server.ask("/embed", {"inputs": "a"}).status == 429
        assert server.ask("/tokenize", {"inputs": "a"}).status == 200
        assert server.ask("/v1/models").status == 200


def test_a_full_server_responds_in_order_on_one_connection():
    embed = POST + b'\r\n{"inputs": "a"}'
    health = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    with full_server() as server, server.connect() as peer:
        peer.sendall(embed + health + embed + embed + health)
        got = b""
        while got.count(b"HTTP/1.1 ") < 5:
            got += peer.recv(100_000)
    statuses = [int(part[:3]) for part in got.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [429, 200, 429, 429, 200]


@pytest.mark.parametrize("version, header", [(b"1.0", b""), (b"1.1", b"connection: close\r\n")])
def test_a_full_server_closes_the_connection_when_the_client_wants_it(version, header):
    head = b"POST /embed HTTP/%b\r\nhost: x\r\ncontent-length: 15\r\n%b\r\n" % (version, header)
    with full_server() as server, server.connect(timeout=5) as peer:
        peer.sendall(head + b'{"inputs": "a"}')
        response = ended(peer)
    assert response.startswith(b"HTTP/1.1 429 ")
    if version == b"1.1":  # HTTP/1.0 closes by default; old versions of uvicorn do not say so
        assert b"\r\nconnection: close\r\n" in response


def test_a_full_server_returns_429_after_100_continue():
    with full_server() as server, server.connect(timeout=5) as peer:
        peer.sendall(EXPECTING)
        assert peer.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b'{"inputs": "a"}')
        assert peer.recv(10_000).startswith(b"HTTP/1.1 429 ")


def test_an_early_error_closes_the_connection_after_the_body():
    with shared_fake().connect(timeout=10) as peer:
        peer.sendall(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n")
        early = b""
        while not early.endswith(b"}"):
            early += peer.recv(10_000)
        assert early.startswith(b"HTTP/1.1 404 ") and b"\r\nconnection: close\r\n" in early
        peer.sendall(b"late")
        assert ended(peer) == b""


def test_an_early_error_does_not_wait_for_ever_for_the_body():
    with fake_server("--read-timeout", "0.5") as server, server.connect(timeout=10) as peer:
        peer.sendall(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n")
        assert ended(peer).startswith(b"HTTP/1.1 404 ")


def test_a_full_server_still_requires_the_token():
    with full_server(BGE_API_TOKENS="secret") as server:
        for token, status in {"wrong": 401, "secret": 429}.items():
            headers = {"authorization": f"Bearer {token}"}
            assert server.ask("/embed", {"inputs": "a"}, headers=headers).status == status


def test_a_batch_can_be_queued_and_polled_on_a_full_server(tmp_path):
    with full_server("--queue", f"sqlite:///{tmp_path}/queue.sqlite") as server:
        requests = {"requests": [{"text": "a"}]}
        queued = server.ask(f"{RUN}?queueRequest=true", requests)
        assert queued.status == 200
        state = server.ask(RUN, {"request_id": queued.json["result"]["request_id"]})
        assert state.json["result"]["status"] in ("queued", "running")
        assert server.ask(RUN, requests).status == 429


def test_requests_of_disconnected_clients_are_dropped_and_counted():
    options = ("--max-batch-tokens", "3")
    with fake_server(*options, FAKE_SECONDS_A_BATCH="0.3") as server:
        request = POST + b'\r\n{"inputs": "a"}'
        peers = [server.connect() for _ in range(20)]
        for peer in peers:
            peer.sendall(request)
        while b'te_queue_size{model="fake"} 20.0' not in server.ask("/metrics").body:
            time.sleep(0.01)
        began = time.perf_counter()
        for peer in peers:
            peer.close()
        while b'te_queue_size{model="fake"} 0.0' not in server.ask("/metrics").body:
            time.sleep(0.05)
        assert time.perf_counter() - began < 3  # twenty batches would take six seconds
        text = server.ask("/metrics").body.decode()
        dropped = next(line for line in text.splitlines() if 'err="dropped"' in line)
        assert float(dropped.split()[-1]) >= 15
        assert works(server)
        assert any(line.get("status") == 499 for line in server.log)
