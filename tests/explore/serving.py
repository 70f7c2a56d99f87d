"""`bge explore` as a process of its own, and a simple client for it."""

import atexit
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from tests.serve.serving import Reply
from tests.support.paths import ROOT

JSON = {"content-type": "application/json"}


class Explorer:
    """The command with a tiny model, at a free port unless words say otherwise."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "engine", "explore", "--model", "weights/tiny"]
        environ = {name: value for name, value in os.environ.items() if name != "BGE_DEBUG"}
        self.process = subprocess.Popen(
            [*command, "--offline", "--port", "0", *words],
            cwd=ROOT,
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.greeting = self.process.stderr.readline()
        self.url = next((word for word in self.greeting.split() if word.startswith("http")), "")

    def ask(
        self, path: str, body: Any = None, *, method: str | None = None, **headers: str
    ) -> Reply:
        """One request on a new connection. A body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.url).port, timeout=60)
        with contextlib.closing(connection):
            if body is not None:
                headers = {**JSON, **headers}
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return Reply(reply.status, found, reply.read())

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """Its exit status, and what it wrote after the greeting."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, written = self.process.communicate(timeout=60)
        return self.process.returncode, written


@cache
def shared() -> Explorer:
    """One for all tests that only ask."""
    explorer = Explorer()
    atexit.register(explorer.stop)
    return explorer
