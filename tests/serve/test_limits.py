"""Invalid input and too much input do no harm."""

import contextlib
import gzip
import http.client
import json
import random
import socket
import threading
import time

import numpy as np
import pytest

from tests.serve.fake_embedder import FakeEmbedder
from tests.serve.serving import ended, fake_server, shared_fake, works

RUN = "/client/v4/accounts/acc/ai/run/fake"
ROUTES = (RUN, "/v1/embeddings", "/embed")


@pytest.fixture(scope="module")
def server():
    return shared_fake()


INVALID_JSON = {
    "cut off": b'{"text": "a',
    "single quotes": b"{'text': 'a'}",
    "trailing comma": b'{"text": "a",}',
    "two values": b'{"text": "a"}{}',
    "NaN": b'{"text": NaN}',
    "a number over any double": b'{"text": 1e999}',
    "a number of 100,000 digits": b'{"text": ' + b"9" * 100_000 + b"}",
    "invalid UTF-8": b'{"text": "\xff\xfe"}',
    "UTF-16": '{"text": "a"}'.encode("utf-16"),
    "half an escape": rb'{"text": "\ud80',
    "a nest of arrays": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a nest of objects": b'{"text":' * 50_000 + b"1" + b"}" * 50_000,
    "zeros": b"\x00" * 1000,
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", INVALID_JSON.values(), ids=INVALID_JSON)
def test_invalid_json_gets_a_400(server, path, body):
    assert server.ask(path, body).status == 400


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("depth", [10, 200, 900])
def test_nested_json_is_refused_for_its_content(server, path, depth):
    nest = "[" * depth + '"a"' + "]" * depth
    body = f'{{"model": "fake", "text": {nest}, "input": {nest}, "inputs": {nest}}}'.encode()
    assert server.ask(path, body).status in (400, 422)


@pytest.mark.parametrize(
    "text",
    ["\x00\x01\x7f", "\u202e\ufeff", "é" * 1000, "🙂" * 500, " \n\t ", "ﷺ" * 100, "w" * 9999],
)
def test_every_string_is_a_valid_text(server, text):
    reply = server.ask("/embed", {"inputs": text})
    assert np.array_equal(np.array(reply.json, np.float32), FakeEmbedder().encode([text]))


def test_bodies_around_the_limit(server):
    fits = json.dumps({"inputs": "a"}).encode().ljust(10_000_000)
    assert server.ask("/embed", fits).status == 200
    assert server.ask("/embed", fits + b" ").status == 413


@pytest.mark.parametrize("path", ROUTES)
def test_a_gzip_body_is_read(server, path):
    body = gzip.compress(json.dumps({"text": "a", "input": "a", "inputs": "a"}).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    assert server.ask(path, body, headers=headers).status == 200
    bomb = gzip.compress(b" " * 10_000_001)
    assert server.ask(path, bomb, headers=headers).status == 413


def test_a_chunked_body_is_limited_while_it_is_read(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = 0

    def chunks():
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield b" " * 100_000

    before = server.rss()
    try:
        connection.request("POST", "/embed", chunks(), encode_chunked=True)
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):  # it need not take the rest
        assert sent > 90
    finally:
        connection.close()
    assert server.rss() - before < 40_000_000
    assert works(server)


def test_a_content_length_over_the_limit_is_refused(server):
    with server.connect() as peer:
        peer.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n")
        assert peer.recv(1000).startswith(b"HTTP/1.1 413 ")


@pytest.mark.slow
def test_all_bodies_together_are_limited():
    with fake_server("--max-waiting-bytes", "3000000") as server:
        peers = [server.connect() for _ in range(10)]
        for peer in peers:
            peer.sendall(b"POST /embed HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n")
            peer.sendall(b" " * 1_000_000)
        responses = []
        for peer in peers:
            peer.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                responses.append(peer.recv(100)[:12])
        assert 7 <= len(responses) <= 8
        assert set(responses) == {b"HTTP/1.1 429"}
        for peer in peers:
            peer.close()
        while server.ask("/embed", b'{"inputs": "a"}'.ljust(2_000_000)).status == 429:
            time.sleep(0.05)
        assert works(server)


def test_random_bytes(server):
    noise = random.Random(1)
    for _ in range(200):
        with server.connect() as peer, contextlib.suppress(OSError):
            peer.sendall(b"POST /embed HTTP/1.1\r\n"[: noise.randrange(25)])
            peer.sendall(noise.randbytes(noise.randrange(1, 500)))
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(100)[:10] in (b"HTTP/1.1 4", b"")
    for line in (b"GET /\xff\xfe HTTP/1.1", b"GET /%ff%00 HTTP/1.1", b"G\xc3\xa9T / HTTP/1.1"):
        with server.connect() as peer:
            peer.sendall(line + b"\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert ended(peer)[:10] in (b"HTTP/1.1 4", b"")
    assert works(server)


@pytest.mark.slow
def test_a_10_mb_text_does_not_delay_a_short_one():
    with fake_server(FAKE_SECONDS_A_BATCH="0.001") as server:
        text = "word " * 1_900_000
        slow = threading.Thread(target=server.ask, args=("/embed", {"inputs": text}))
        slow.start()
        began = time.perf_counter()
        assert works(server)
        assert time.perf_counter() - began < 5
        slow.join()


@pytest.mark.slow
def test_thousands_of_small_requests_do_not_grow_memory(server):
    def many(count: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        for i in range(count):
            connection.request("POST", ROUTES[i % 3], b'{"text":"a","inputs":"a"}')
            reply = connection.getresponse()
            reply.read()
            assert reply.status in (200, 400)
        connection.close()

    def burst(clients: int, each: int) -> None:
        threads = [threading.Thread(target=many, args=(each,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    burst(8, 125)
    before = server.rss()
    burst(8, 500)
    assert server.rss() - before < 8_000_000
    assert b'te_queue_size{model="fake"} 0.0' in server.ask("/metrics").body


def test_pipelined_requests_are_answered_in_order(server):
    request = b'POST /tokenize HTTP/1.1\r\nhost: x\r\ncontent-length: 15\r\n\r\n{"inputs": "%s"}'
    with server.connect() as peer:
        peer.sendall(b"".join(request % letter for letter in (b"a", b"b", b"c")))
        got = b""
        while got.count(b"[SEP]") < 3:
            got += peer.recv(65536)
    assert [got.index(b'"text":"%s"' % letter) for letter in (b"a", b"b", b"c")] == sorted(
        got.index(b'"text":"%s"' % letter) for letter in (b"a", b"b", b"c")
    )
