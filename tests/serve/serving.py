"""A server process on the loopback address for tests, and a simple client for it.

`python -m tests.serve.serving OPTIONS` serves the fake model; FAKE_SECONDS_A_BATCH,
FAKE_SECONDS_A_TOKEN and FAKE_SECONDS_TO_LOAD make it slow.
"""

import atexit
import contextlib
import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.paths import ROOT

FAKE = ("-m", "tests.serve.serving", "--queue", "none")


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A server process; `log` collects its lines."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BGE_")}
        kept = {n: v for n, v in os.environ.items() if n in ("BGE_WEIGHTS", "BGE_CACHE")}
        self.process = subprocess.Popen(
            [sys.executable, *arguments, "--port", "0"],
            cwd=ROOT,
            env={**clean, **kept, **environ},
            stderr=subprocess.PIPE,
        )
        self.log: list[dict[str, Any]] = []
        self.raw_log: list[bytes] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(120) or not self.log or self.log[-1].get("event") == "failed":
            self.stop()
            raise RuntimeError(f"the server did not start: {b''.join(self.raw_log)!r}")
        self.url = next(line["url"] for line in self.log if line["event"] == "ready")
        self.port = urlsplit(self.url).port

    def _read(self) -> None:
        for line in self.process.stderr:
            self.raw_log.append(line)
            with contextlib.suppress(ValueError):
                self.log.append(json.loads(line))
                if self.log[-1]["event"] == "ready":
                    self._ready.set()
        self.log.append({"event": "failed" if not self._ready.is_set() else "end"})
        self._ready.set()

    def ask(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> Reply:
        """Sends one request on a new connection; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            verb = method or ("GET" if body is None else "POST")
            connection.request(verb, path, body, headers or {})
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, found, reply.read())

    def connect(self, timeout: float = 30) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def rss(self) -> int:
        """Resident memory of the process, in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stops the process and returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join(5)
            self.process.stderr.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.stop()


def works(server: Server) -> bool:
    return server.ask("/embed", {"inputs": "a"}).status == 200


def ended(peer: socket.socket) -> bytes:
    """All bytes until the server closes the connection."""
    got = b""
    while part := peer.recv(65536):
        got += part
    return got


def fake_server(*arguments: str, **environ: str) -> Server:
    return Server(*FAKE, *arguments, **environ)


@functools.cache
def shared_fake() -> Server:
    """One server for all tests that need no special options."""
    server = fake_server()
    atexit.register(server.stop)
    return server


def main() -> int:
    from engine.serve.server import serve
    from engine.serve.settings import parse_settings
    from tests.serve.fake_embedder import FakeEmbedder

    def load(choice, settings):
        time.sleep(float(os.environ.get("FAKE_SECONDS_TO_LOAD", "0")))
        return FakeEmbedder(
            choice.source,
            seconds_a_batch=float(os.environ.get("FAKE_SECONDS_A_BATCH", "0")),
            seconds_a_token=float(os.environ.get("FAKE_SECONDS_A_TOKEN", "0")),
        )

    environ = {"BGE_MODEL": "fake=@cf/baai/bge-base-en-v1.5", **os.environ}
    return serve(parse_settings(sys.argv[1:], environ), load)


if __name__ == "__main__":
    sys.exit(main())
