"""The ASGI application: routes, authentication, time limit, errors, request ids, access log."""

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from engine.serve.dialects import DIALECTS
from engine.serve.dialects.openapi import document
from engine.serve.http.access_log import log_event, log_request
from engine.serve.http.auth import Authenticator
from engine.serve.http.errors import ErrorKind, HTTPError, http_error_of
from engine.serve.http.host import check_host
from engine.serve.http.messages import Handler, JSONResponse, Request, to_json
from engine.serve.http.proxies import Proxies
from engine.serve.http.tokens_file import read_tokens_file
from engine.serve.pages.pages import Pages
from engine.serve.service import Service

log = logging.getLogger("bge.serve")

CLIENT_CLOSED_REQUEST = 499  # in the log only


class App:
    """Handles every request with the dialect that owns its path."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.draining = False  # shutting down: each response closes its connection
        self._authenticator = Authenticator(service.settings.all_tokens)
        self._proxies = Proxies(service.settings.trusted_proxies)
        self._dialects = [dialect(service) for dialect in DIALECTS]
        described = document(service, self._dialects)
        self._document = to_json(described)
        self._pages = Pages(described, needs_token=bool(service.settings.all_tokens))
        self.routes = [
            Route(path, handler, methods=[method])
            for dialect in self._dialects
            for method, path, handler in dialect.routes()
        ]
        self.routes.append(Route("/openapi.json", self._openapi, methods=["GET"]))
        self.routes.sort(key=lambda route: "{" in route.path)  # the fixed paths match faster

    def reload_tokens(self) -> None:
        """Reads the file of tokens again. One that cannot be used leaves them as they are."""
        settings = self.service.settings
        assert settings.tokens_file is not None
        path = settings.tokens_file.path
        try:
            file = read_tokens_file(path)
        except ValueError as error:
            log.error("the API tokens stay as they were: %s: %s", path, error)
            return
        tokens = (*settings.tokens, *file.tokens)
        self._authenticator = Authenticator(tokens)
        log_event("tokens", tokens=len(tokens))
        if file.exposed:
            log.warning("every user of this machine can read the API tokens in %s: chmod o-r", path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A slash at the end means nothing.
        path, client = scope["path"].rstrip("/") or "/", self._proxies.client(scope)
        request = Request({**scope, "path": path, "client": client}, receive)
        status = CLIENT_CLOSED_REQUEST
        try:
            response = await self._respond(request)
            response.headers["x-request-id"] = request.id
            if self.draining or request.body_pending:
                response.headers["connection"] = "close"
            status = response.status_code
            await self._send(response, request, send)
        except ClientDisconnect:
            self.service.metrics.dropped()
        except asyncio.CancelledError:
            if not request.disconnected:
                raise
            status = CLIENT_CLOSED_REQUEST
            self.service.metrics.dropped()
        finally:
            request.stop_watching()
            self.service.release_body(request)
            if self.service.settings.access_log:
                log_request(request, status)
            if self.service.tracer is not None:
                self.service.tracer.record(request, status)

    async def _respond(self, request: Request) -> Response:
        try:
            check_host(request)
            page = self._pages.response(request)
            if page is not None:
                return page
            self._authenticator.check(request.method, request.path, request.headers)
            async with asyncio.timeout(self.service.settings.request_timeout):
                return await self._handler(request)(request)
        except ClientDisconnect:
            raise
        except Exception as error:
            return self._error_response(error, request)

    def _handler(self, request: Request) -> Handler:
        allowed: set[str] = set()
        for route in self.routes:
            match, child_scope = route.matches(request.scope)
            if match is Match.FULL:
                request.scope.update(child_scope)
                request.route = route.path
                return route.endpoint
            if match is Match.PARTIAL:
                allowed |= route.methods or set()
        if not allowed:
            message = "There is no such route; /openapi.json lists all routes."
            raise HTTPError(ErrorKind.NO_ROUTE, message)
        allow = ", ".join(sorted(allowed))
        raise HTTPError(ErrorKind.NO_METHOD, f"This route allows {allow}.", allow=allow)

    def _error_response(self, error: Exception, request: Request) -> Response:
        if isinstance(error, TimeoutError):
            seconds = self.service.settings.request_timeout
            found = HTTPError(ErrorKind.TIMEOUT, f"no response within {seconds:g} seconds.")
        else:
            found = http_error_of(error)
        if found.kind is ErrorKind.INTERNAL:
            log.exception("request %s failed", request.id)
        self.service.metrics.failed(found.kind)
        dialect = next(one for one in self._dialects if one.owns(request.path))
        response = dialect.error_response(found, request)
        if found.retry_after is not None:
            response.headers["retry-after"] = str(found.retry_after)
        if found.allow:
            response.headers["allow"] = found.allow
        if found.kind is ErrorKind.TIMEOUT:
            response.headers["connection"] = "close"
        return response

    async def _send(self, response: Response, request: Request, send: Send) -> None:
        """Sends the response. If the body is still arriving, the connection closes only after the
        body: closing at once would reset it, and the client could lose the response.
        """
        if not request.body_pending or response.status_code == 408:
            await response(request.scope, request.receive, send)
            return

        async def send_open(message: Message) -> None:
            more = {"more_body": True} if message["type"] == "http.response.body" else {}
            await send({**message, **more})

        self.service.release_body(request)
        await response(request.scope, request.receive, send_open)
        await request.discard_body(self.service.settings.read_timeout)
        await send({"type": "http.response.body", "body": b""})

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(self._document)
