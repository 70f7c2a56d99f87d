"""Which request gets what: the page and its files, and a JSON endpoint for each kind of result.

Only pages of this server may ask. The Host header must name this machine, so that no other site
reaches us by a name of its own that leads here (DNS rebinding). A request for a result is JSON by
its content-type, which other sites cannot send without a preflight; preflights get no permission.
"""

import asyncio
import inspect
import json
import mimetypes
from collections.abc import Callable
from typing import Any, get_type_hints

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine import Embedder, InputError
from engine.errors import EngineError
from engine.explore.results import Results

MOST_BYTES = 1 << 20  # of a request
HOSTS = ["127.0.0.1", "localhost"]
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",  # kept, and compared by etag before each use
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
KINDS = {str: "a string", int: "an integer", list[str]: "a list of strings"}
mimetypes.add_type("text/javascript", ".js")  # Windows may say text/plain, which is not run


def app_of(embedder: Embedder) -> ASGIApp:
    """The application. It computes one result at a time.

    Beside it one of a precision, which compiles kernels for a minute when it is new here.
    """
    results, turn, other_turn = Results(embedder), asyncio.Lock(), asyncio.Lock()

    def route(result: Callable[..., Any], turn: asyncio.Lock = turn) -> Route:
        async def endpoint(request: Request) -> Response:
            members = _members(await _body(request), result)
            try:
                async with turn:
                    found = await run_in_threadpool(result, **members)
            except asyncio.CancelledError:  # Ctrl-C
                return Response(status_code=503)
            return Response(found) if isinstance(found, bytes) else JSONResponse(found)

        return Route(f"/api/{result.__name__}", endpoint, methods=["POST"])

    listed: tuple[Callable[..., Any], ...] = (
        results.about, results.explain, results.head, results.words, results.compare,
        results.matrix, results.saved,
    )  # fmt: skip
    files = StaticFiles(packages=[("engine.explore", "assets")], html=True)
    return Starlette(
        routes=[
            *map(route, listed),
            route(results.precision, other_turn),
            Mount("/", files),
        ],
        middleware=[
            Middleware(_WithHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
        exception_handlers={EngineError: _engine_error, HTTPException: _http_error},
    )


class _WithHeaders:
    """Adds HEADERS to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_more)


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "the content-type of a request must be application/json.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"the request is longer than {MOST_BYTES:,} bytes.")
    return body


def _members(body: bytes, result: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of `result` from a JSON object: all of them, each of its type."""
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}.") from error
    names = inspect.signature(result).parameters
    if not isinstance(members, dict) or members.keys() != names.keys():
        wanted = ", ".join(names) or "no members"
        raise InputError(f"the request must be a JSON object with {wanted}.")
    types = get_type_hints(result)
    for name, value in members.items():
        if not _fits(value, types[name]):
            raise InputError(f"{name} is {value!r:.60}; it must be {KINDS[types[name]]}.")
    return members


def _fits(value: Any, kind: Any) -> bool:
    if kind == list[str]:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    return type(value) is kind


async def _engine_error(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, error.headers)
