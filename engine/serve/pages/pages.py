"""The pages for browsers: / with a box to try the models, /docs, and their files at /assets/.

They belong to no API, so the OpenAPI document leaves them out. They need no token and show nothing
that needs one: what is behind a token, the scripts request with the token that the user enters.
"""

import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from starlette.responses import Response

from engine.serve.http.messages import Request

ASSETS = {
    "style.css": "text/css",
    "common.js": "text/javascript",
    "front.js": "text/javascript",
    "docs.js": "text/javascript",
    "schemas.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
# Only this server's files, and requests only to this server. A form is sent by a script or not at
# all, which keeps the token out of the URL.
POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class _File:
    content: bytes
    media_type: str

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class Pages:
    """All pages, rendered once from the OpenAPI document of this server."""

    def __init__(self, document: dict[str, Any], *, needs_token: bool) -> None:
        known = {
            "token": "needed" if needs_token else "none",
            "about": escape(document["info"]["description"]),
            "operations": _operations(document),
        }
        self._files = {
            "/": _File(_render("front.html", known), "text/html"),
            "/docs": _File(_render("docs.html", known), "text/html"),
        }
        for name, media_type in ASSETS.items():
            self._files[f"/assets/{name}"] = _File(_read(name), media_type)

    def response(self, request: Request) -> Response | None:
        """The page or file of the request; None if it is for an API. GET / is a page only for
        browsers: probes use it too.
        """
        file = self._files.get(request.path)
        if file is None or request.method not in ("GET", "HEAD"):
            return None
        if request.path == "/" and not prefers_html(request.headers.get("accept", "")):
            return None
        headers = {
            "cache-control": "no-cache",  # kept, and compared by etag before each use
            "etag": file.etag,
            "vary": "accept",
            "content-security-policy": POLICY,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        known = request.headers.get("if-none-match", "").split(",")
        if file.etag in [tag.strip().removeprefix("W/") for tag in known]:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers=headers, media_type=file.media_type)


def prefers_html(accept: str) -> bool:
    """Whether text/html is what an Accept header wants most; the first of equals counts."""
    quality: dict[str, float] = {}
    for each in accept.split(","):
        name, *parameters = each.replace(" ", "").lower().split(";")
        words = [one.removeprefix("q=") for one in parameters if one.startswith("q=")]
        try:
            quality[name] = float(words[0]) if words else 1.0
        except ValueError:
            return False
    best = max(quality, key=quality.__getitem__)
    return best == "text/html" and quality[best] > 0


def _read(name: str) -> bytes:
    return files(__package__).joinpath(name).read_bytes()


def _render(name: str, values: dict[str, str]) -> bytes:
    return Template(_read(name).decode()).substitute(values).encode()


def _operations(document: dict[str, Any]) -> str:
    """A list of the operations in HTML, by API; docs.js puts the details of each into it."""
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method in [one for one in ("get", "post") if one in methods]:
            operation = methods[method]
            (tag,) = operation["tags"]
            groups.setdefault(tag, []).append(_operation(method, path, operation))
    return "\n".join(
        f"<section>\n<h2>{escape(tag)}</h2>\n{''.join(items)}</section>"
        for tag, items in groups.items()
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    values = (operation["operationId"], method, path, operation.get("summary", ""))
    name, method, path, summary = map(escape, values)
    return (
        f'<details id="{name}" data-method="{method}" data-path="{path}">'
        f'<summary><b class="{method}">{method.upper()}</b> <code>{path}</code> '
        f"<span>{summary}</span></summary>"
        '<div><p>See <a href="/openapi.json">openapi.json</a> for the details.</p></div>'
        "</details>\n"
    )
