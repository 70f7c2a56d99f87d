"""Listening on a Unix socket: who may take its path, its mode, and what is left behind."""

import http.client
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.serve.http.unix_socket import unix_listener
from tests.serve.serving import FAKE, ROOT, Server, fake_server


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short one: the path of a Unix socket has at most 107 bytes."""
    monkeypatch.chdir(tmp_path)
    return Path("s")


class Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def ask(path: Path, method: str, route: str, body: bytes | None = None, **headers: str) -> int:
    connection = Connection(path)
    connection.request(method, route, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def test_the_socket_is_removed_at_the_end(path: Path) -> None:
    before = os.umask(0o007)
    try:
        with unix_listener(str(path)) as listener:
            assert stat.S_IMODE(path.stat().st_mode) == 0o770
            listener.listen()
            Connection(path).connect()
    finally:
        os.umask(before)
    assert not path.exists()
    with unix_listener(str(path)):
        path.unlink()  # by somebody else: no error


def test_a_dead_socket_is_replaced(path: Path) -> None:
    listen(path).close()
    assert path.is_socket()
    with unix_listener(str(path)) as listener:
        listener.listen()
        Connection(path).connect()


def refused(path: str, why: str) -> None:
    message = f"cannot listen on the Unix socket .*: {why}; choose another path"
    with pytest.raises(EngineError, match=message), unix_listener(path):
        pass


def test_a_living_socket_is_an_error_and_stays(path: Path) -> None:
    with listen(path) as other:
        refused(str(path), "another program listens on it")
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(path))
            other.accept()[0].close()


def test_a_server_that_does_not_listen_yet_keeps_its_socket(path: Path) -> None:
    with unix_listener(str(path)):
        refused(str(path), "another server has it")
        assert path.is_socket()


def test_what_cannot_be_a_socket(path: Path) -> None:
    path.write_text("data")
    refused(str(path), "there is a file that is no socket")
    assert path.read_text() == "data"
    refused("no/folder/s", "No such file or directory")
    refused("x" * 120, "AF_UNIX path too long")


@pytest.fixture
def server(path: Path) -> Iterator[Server]:
    with fake_server("--uds", str(path.absolute())) as own:
        yield own


@pytest.mark.slow
def test_a_server(server: Server, path: Path) -> None:
    assert server.url == f"unix:{path.absolute()}"
    assert ask(path, "POST", "/embed", b'{"inputs": "a"}', **{"x-request-id": "mine"}) == 200
    assert ask(path, "GET", "/health") == 200
    assert server.stop() == 0
    (line,) = [line for line in server.log if line.get("id") == "mine"]
    assert (line["client"], line["status"]) == ("", 200)
    assert not path.exists()


@pytest.mark.slow
def test_one_that_was_killed_is_replaced_and_a_living_one_is_not(
    server: Server, path: Path
) -> None:
    command = [sys.executable, *FAKE, "--uds", str(path.absolute())]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert second.returncode and "another server has it" in second.stderr
    assert ask(path, "GET", "/health") == 200
    server.stop(signal.SIGKILL)
    assert path.is_socket()
    with fake_server("--uds", str(path.absolute())):
        assert ask(path, "GET", "/health") == 200


@pytest.mark.slow
def test_a_trusted_proxy_names_the_client_and_may_have_all_connections(path: Path) -> None:
    options = ("--uds", str(path.absolute()), "--trusted-proxies", "unix", "--max-connections", "8")
    with fake_server(*options) as server:
        idle = [Connection(path) for _ in range(7)]  # of one address six would be allowed
        for connection in idle:
            connection.request("GET", "/health")
            assert connection.getresponse().read() is not None
        headers = {"x-forwarded-for": "203.0.113.9", "x-request-id": "mine"}
        idle[-1].request("GET", "/info", headers=headers)
        assert idle[-1].getresponse().status == 200
        deadline = time.monotonic() + 5
        while not (found := [line for line in [*server.log] if line.get("id") == "mine"]):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert found[0]["client"] == "203.0.113.9"
        for connection in idle:
            connection.close()
