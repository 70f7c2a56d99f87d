"""The server from start to end: authentication, several models, the log, stopping under load."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.serve.serving import FAKE, ROOT, fake_server

RUN = "/client/v4/accounts/acc/ai/run/fake"
BODY = {"model": "fake", "text": "a", "input": "a", "inputs": "a"}
TOKENS = "first-secret,second-secret"


@pytest.fixture(scope="module")
def guarded():
    with fake_server(BGE_API_TOKENS=TOKENS) as server:
        yield server


def bearer(token):
    return {"authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", [RUN, "/v1/embeddings", "/embed"])
@pytest.mark.parametrize(
    "headers",
    [
        bearer("first-secret"),
        bearer("second-secret"),
        {"authorization": "bearer  second-secret "},
        {"x-auth-email": "me@example.org", "x-auth-key": "first-secret"},
        {"x-auth-user-service-key": "first-secret"},
    ],
)
def test_each_token_is_accepted(guarded, path, headers):
    assert guarded.ask(path, BODY, headers=headers).status == 200


CLOUDFLARE = {
    "none": ({}, 400, 9106),
    "malformed": ({"authorization": "first-secret"}, 400, 6003),
    "another scheme": ({"authorization": "Basic Zmlyc3Q="}, 400, 6003),
    "wrong": (bearer("first-secre"), 401, 10000),
    "both": (bearer("first-secret,second-secret"), 401, 10000),
    "not ASCII": ({"authorization": "Bearer \xe9\xff"}, 401, 10000),
}


@pytest.mark.parametrize(("headers", "status", "code"), CLOUDFLARE.values(), ids=CLOUDFLARE)
def test_without_a_token_nothing_is_revealed(guarded, headers, status, code):
    reply = guarded.ask(RUN, BODY, headers=headers)
    assert (reply.status, reply.json["errors"][0]["code"]) == (status, code)
    assert reply.json["result"] is None
    reply = guarded.ask("/v1/embeddings", BODY, headers=headers)
    assert (reply.status, reply.json["error"]["code"]) == (401, "invalid_api_key")
    assert reply.json["errors"][0]["code"] == code
    reply = guarded.ask("/embed", BODY, headers=headers)
    assert (reply.status, reply.json["error_type"]) == (401, "Unauthorized")


def test_authentication_comes_before_routes_models_and_bodies(guarded):
    for path in ("/client/v4/nowhere", f"{RUN}x", "/openapi.json", "/v1/models"):
        assert guarded.ask(path, headers=bearer("wrong")).status == 401
    assert guarded.ask(RUN, b"{", headers=bearer("wrong")).status == 401


def test_probes_and_scrapers_need_no_token(guarded):
    assert [guarded.ask(path).status for path in ("/health", "/ping", "/", "/metrics")] == [200] * 4


def test_a_malformed_header_is_explained_in_the_error_chain(guarded):
    error = guarded.ask(RUN, BODY, headers={"authorization": "x"}).json["errors"][0]
    assert error["error_chain"][0]["code"] == 6111


def test_the_log_has_requests_and_no_secrets(guarded):
    text = "a very private sentence"
    path = f"{RUN}?secret-query=1"
    reply = guarded.ask(path, {"text": text}, headers=bearer("second-secret"))
    guarded.ask(RUN, {"text": text}, headers=bearer("mistyped-secret"))
    until = time.monotonic() + 5
    while time.monotonic() < until:
        lines = [line for line in guarded.log if line.get("id") == reply.headers["x-request-id"]]
        if lines and guarded.log[-1].get("status") == 401:
            break
        time.sleep(0.01)
    (line,) = lines
    assert line["event"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("POST", RUN, 200)
    assert (line["model"], line["texts"], line["tokens"]) == ("fake", 1, 6)
    assert (line["client"], line["ms"] > 0) == ("127.0.0.1", True)
    whole = b"".join(guarded.raw_log)
    assert b"secret" not in whole
    assert b"private" not in whole


def test_two_models_by_name_and_the_first_for_tei():
    with fake_server("--model", "one=first", "--model", "two") as server:
        listed = [model["id"] for model in server.ask("/v1/models").json["data"]]
        assert listed == ["one", "first", "two"]
        for name in ("one", "first", "two", "TWO"):
            assert server.ask("/v1/embeddings", {"model": name, "input": "a"}).status == 200
        assert server.ask("/info").json["served_model_name"] == "one"
        ready = next(line for line in server.log if line["event"] == "ready")
        assert [model["names"] for model in ready["models"]] == [["one", "first"], ["two"]]
        pooling = {"cloudflare": "mean", "openai": "cls", "ollama": "cls", "tei": "cls"}
        assert ready["models"][0]["default_pooling"] == pooling


def failed_start(*arguments, **environ):
    done = subprocess.run(
        [sys.executable, *FAKE, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert done.returncode != 0
    return done.stderr


def test_the_reason_for_a_failed_start_is_shown():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        message = failed_start("--port", port)
        assert f"cannot listen on 127.0.0.1 port {port}" in message
    assert "BGE_API_TOKENS is not set" in failed_start("--host", "0.0.0.0")
    clash = failed_start("--port", "0", "--model", "one=x", "--model", "two=x")
    assert "Two models have the name 'x'" in clash


def test_no_connection_is_accepted_before_the_models_are_loaded():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, *FAKE, "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "FAKE_SECONDS_TO_LOAD": "1"}, stderr=subprocess.PIPE
    )
    try:
        refused = 0
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            except ConnectionRefusedError:
                refused += 1
                time.sleep(0.02)
        assert json.loads(process.stderr.readline())["event"] == "ready"
        assert refused > 10
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


class Client(threading.Thread):
    """Sends one request after another until no connection is accepted; records each result."""

    def __init__(self, server):
        super().__init__()
        self.server, self.statuses, self.lost = server, [], []

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        while True:
            try:
                connection.connect()
            except OSError:
                return
            while True:
                try:
                    connection.request("POST", "/embed", b'{"inputs": "a b c"}')
                    reply = connection.getresponse()
                    reply.read()
                except OSError as error:
                    self.lost.append(error)
                    return
                self.statuses.append(reply.status)
                if reply.getheader("connection") == "close":
                    break
            connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_under_load_finishes_all_accepted_requests(number):
    server = fake_server("--max-batch-tokens", "40", FAKE_SECONDS_A_BATCH="0.02")
    clients = [Client(server) for _ in range(32)]
    for client in clients:
        client.start()
    time.sleep(1)
    assert server.stop(number) == 0
    for client in clients:
        client.join(10)
    assert not any(client.is_alive() for client in clients)
    assert [error for client in clients for error in client.lost] == []
    assert {status for client in clients for status in client.statuses} == {200}
    assert {"event": "stopped"}.items() <= server.log[-2].items()


def test_a_large_accepted_request_is_finished_after_sigterm():
    server = fake_server("--max-batch-tokens", "300", FAKE_SECONDS_A_BATCH="0.05")
    replies = []
    body = {"model": "fake", "input": ["a b c"] * 1000}
    asking = threading.Thread(target=lambda: replies.append(server.ask("/v1/embeddings", body)))
    asking.start()
    while b'te_embed_count{model="fake"} 1000.0' not in server.ask("/metrics").body:
        time.sleep(0.01)
    assert server.stop() == 0
    asking.join()
    assert len(replies[0].json["data"]) == 1000


def test_a_second_signal_does_not_wait():
    server = fake_server("--max-batch-tokens", "3", FAKE_SECONDS_A_BATCH="0.5")
    outcomes = []

    def ask():
        try:
            outcomes.append(server.ask("/embed", BODY).status)
        except OSError as error:
            outcomes.append(type(error))

    askers = [threading.Thread(target=ask) for _ in range(30)]
    for asker in askers:
        asker.start()
    while b'te_queue_size{model="fake"} 3' not in server.ask("/metrics").body:
        time.sleep(0.01)
    began = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert server.stop() == 0
    assert time.perf_counter() - began < 5  # and not fifteen
    for asker in askers:
        asker.join()
    assert len(outcomes) == 30
    assert len([outcome for outcome in outcomes if outcome == 200]) < 10
