"""A server on this machine that speaks the Hugging Face hub's protocol, and fails when asked to.

Small files come from the hub itself, weights (LFS) by a redirect to another host: another port.
"""

import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]
RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
API = re.compile(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)")
CDN = re.compile(r"/cdn/([0-9a-f]{64})")


@dataclass(frozen=True)
class Request:
    """What was asked: `host` is "hub" or "cdn"; `start` is the first byte of a range, or None."""

    host: str
    method: str
    path: str
    start: int | None
    token: str | None


@dataclass
class Hub:
    """Repositories by name and commit; the last commit is `main`. Use it in a `with`."""

    repositories: dict[str, dict[str, Files]]
    requests: list[Request] = field(default_factory=list)
    cuts: dict[str, list[int]] = field(default_factory=dict)  # next answers end after n bytes
    stalls: dict[str, int] = field(default_factory=dict)  # answers stop after n bytes, and wait
    dies_at: dict[str, int] = field(default_factory=dict)  # after n bytes both servers are gone
    sends: Files = field(default_factory=dict)  # other bytes than the metadata says
    status: int | None = None  # the answer to everything
    ranges: bool = True

    def __enter__(self) -> Self:
        self.released = threading.Event()
        self._servers = {name: _serve(self, name) for name in ("hub", "cdn")}
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.die()

    def die(self) -> None:
        """No more connections."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        return self.url_of("hub")

    def url_of(self, name: str) -> str:
        return f"http://127.0.0.1:{self._servers[name].server_address[1]}"

    def files(self, repository: str, revision: str) -> tuple[str, Files] | None:
        """(commit, files), or None for an unknown repository or revision."""
        commits = self.repositories.get(repository, {})
        commit = list(commits)[-1] if commits and revision == "main" else revision
        return (commit, commits[commit]) if commit in commits else None

    def fetched(self, path: str) -> list[int | None]:
        """The starts of the ranges in which the bytes of a file were asked for."""
        wanted = [each for each in self.requests if each.path == path and each.method == "GET"]
        return [each.start for each in wanted]


def _serve(hub: Hub, name: str) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"hub": hub, "host": name})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


def is_lfs(path: str) -> bool:
    """Whether the hub would keep the file outside of git."""
    return path.endswith(".safetensors")


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    host: str
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = unquote(urlsplit(self.path).path)
        if self.hub.status:
            return self._refuse(self.hub.status, None, url)
        if self.host == "cdn" and (match := CDN.fullmatch(url)):
            return self._cdn(match[1])
        if self.host == "hub" and (match := RESOLVE.fullmatch(url)):
            return self._resolve(*match.groups())
        if self.host == "hub" and (match := API.fullmatch(url)):
            return self._api(*match.groups())
        return self._refuse(404, None, url)

    def _resolve(self, repository: str, revision: str, path: str) -> None:
        found = self.hub.files(repository, revision)
        if repository not in self.hub.repositories:
            return self._refuse(401, "RepoNotFound", path)
        if found is None or path not in found[1]:
            return self._refuse(404, "EntryNotFound" if found else "RevisionNotFound", path)
        commit, files = found
        digest = hashlib.sha256(files[path]).hexdigest()
        headers = {"X-Repo-Commit": commit, "ETag": f'"{digest[:40]}"'}
        if not is_lfs(path):
            return self._send(path, files[path], headers)
        headers |= {
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(len(files[path])),
            "Location": f"{self.hub.url_of('cdn')}/cdn/{digest}?signed=1",
            "Content-Length": "0",
        }
        self._note(path)
        self._headers(302, headers)

    def _cdn(self, digest: str) -> None:
        for commits in self.hub.repositories.values():
            for files in commits.values():
                for path, content in files.items():
                    if hashlib.sha256(content).hexdigest() == digest:
                        return self._send(path, content, {"ETag": f'"{digest}"'})
        self._refuse(404, None, digest)

    def _api(self, repository: str, revision: str) -> None:
        found = self.hub.files(repository, revision)
        if found is None:
            return self._refuse(404, "RevisionNotFound", repository)
        commit, files = found
        siblings = [_sibling(path, content) for path, content in files.items()]
        info = {"_id": "1", "id": repository, "modelId": repository, "sha": commit}
        body = json.dumps({**info, "private": False, "siblings": siblings}).encode()
        self._send("(listing)", body, {"Content-Type": "application/json"})

    def _send(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        start = self._note(path)
        body = self.hub.sends.get(path, content)
        status, begin = 200, 0
        if start is not None and self.hub.ranges:
            status, begin = 206, start
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        headers |= {"Content-Length": str(len(body) - begin), "Accept-Ranges": "bytes"}
        self._headers(status, headers)
        if self.command == "GET":
            self._body(path, body[begin:])

    def _body(self, path: str, body: bytes) -> None:
        hub = self.hub
        if hub.cuts.get(path):
            self.wfile.write(body[: hub.cuts[path].pop(0)])
            self._hang_up()
        elif path in hub.dies_at:
            self.wfile.write(body[: hub.dies_at[path]])
            hub.die()
            self._hang_up()
        elif path in hub.stalls:
            self.wfile.write(body[: hub.stalls[path]])
            hub.released.wait()
            self._hang_up()
        else:
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def _note(self, path: str) -> int | None:
        """Keeps what was asked; gives the start of the range."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(match[1]) if match else None
        token = self.headers.get("Authorization")
        self.hub.requests.append(Request(self.host, self.command, path, start, token))
        return start

    def _refuse(self, status: int, code: str | None, path: str) -> None:
        self._note(path)
        self._headers(status, {"Content-Length": "0"} | ({"X-Error-Code": code} if code else {}))

    def _headers(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _sibling(path: str, content: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": "0" * 40}
    if is_lfs(path):
        digest = hashlib.sha256(content).hexdigest()
        row["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
    return row
