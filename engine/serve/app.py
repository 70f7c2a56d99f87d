"""The ASGI application: routes, and the gate that every request passes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.routing import Route, Router

from engine.serve.dialects import cloudflare_errors, openai, tei
from engine.serve.dialects.cloudflare import Cloudflare
from engine.serve.dialects.openapi import document
from engine.serve.http.access_log import say_request
from engine.serve.http.auth import Gatekeeper
from engine.serve.http.errors import Kind, Problem, problem_of
from engine.serve.http.load_shedding import Overload, wants_vectors
from engine.serve.http.messages import Answer, Call, Receive, Scope, Send, send_answer, to_json
from engine.serve.service import Service

log = logging.getLogger("bge.serve")

CLIENT_LEFT = 499
Handler = Callable[[Call], Awaitable[Answer]]
Refusal = Callable[[Problem, Call], Answer]


class Endpoint:
    """A handler as the router wants it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["bge.answer"] = await self.handler(scope["bge.call"])


class App:
    """Auth, time limit, dialect of the errors, request ids and the log, around the routes."""

    def __init__(self, service: Service, cloudflare: Cloudflare) -> None:
        self.service = service
        self.draining = False  # from then on each answer closes its connection
        self._overload = Overload(service.models, service.metrics)
        self._gatekeeper = Gatekeeper(service.settings.tokens)
        self._document = to_json(document(service))
        self.routes = self._routes(cloudflare)
        self._router = Router(self.routes, redirect_slashes=False)

    def _routes(self, cloudflare: Cloudflare) -> list[Route]:
        v1, embeddings = openai.OpenAI(self.service), tei.TEI(self.service)
        account = "/client/v4/accounts/{account}"
        post: dict[str, Handler] = {
            f"{account}/ai/run/{{model:path}}": cloudflare.run,
            "/v1/embeddings": v1.embeddings,
            f"{account}/ai/v1/embeddings": v1.embeddings,
            "/embed": embeddings.embed,
            "/embed_all": embeddings.embed_all,
            "/similarity": embeddings.similarity,
            "/tokenize": embeddings.tokenize,
        }
        get: dict[str, Handler] = {
            "/v1/models": v1.models,
            "/v1/models/{model:path}": v1.model,
            f"{account}/ai/v1/models": v1.models,
            f"{account}/ai/v1/models/{{model:path}}": v1.model,
            f"{account}/ai/models/search": cloudflare.search,
            f"{account}/ai/models/schema": cloudflare.schema,
            f"{account}/tokens/verify": cloudflare.verify,
            "/client/v4/user/tokens/verify": cloudflare.verify,
            "/info": embeddings.info,
            "/health": embeddings.health,
            "/ping": embeddings.health,
            "/": embeddings.health,
            "/metrics": embeddings.metrics,
            "/openapi.json": self._openapi,
        }
        return [
            Route(path, Endpoint(handler), methods=[method])
            for method, table in (("POST", post), ("GET", get))
            for path, handler in table.items()
        ]

    async def _openapi(self, call: Call) -> Answer:
        return Answer(200, self._document)

    @property
    def full(self) -> bool:
        """No model has room, and the server goes on: its last answers take the long way."""
        return not self.draining and self.service.models.full

    def at_the_door(self, scope: Scope) -> Answer | None:
        """The answer to a request of which only the head is there, or None: let it in.

        A full server so spares itself the rest, and a task; those let in may still find no room.
        """
        call = Call(scope)
        if not wants_vectors(call):
            return None
        try:
            self._gatekeeper.check(scope["method"], call.path, call.headers)
            self._overload.refuse()
        except Problem as problem:
            answer = self._stamped(self._refuse(problem, call), call)
        self._log(call, answer.status)
        return answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive)
        scope["bge.call"] = call
        scope["app"] = self  # the router then raises for an unknown route, and we answer
        status = CLIENT_LEFT
        try:
            answer = await self._answer(call, scope, receive, send)
            status = answer.status
            await send_answer(send, self._stamped(answer, call))
        except asyncio.CancelledError:
            if not call.left:
                raise
            status = CLIENT_LEFT
            self.service.metrics.dropped()
        finally:
            call.unwatch()
            del scope["bge.call"]  # which holds the scope
            self.service.held -= call.held
            self._log(call, status)

    async def _answer(self, call: Call, scope: Scope, receive: Receive, send: Send) -> Answer:
        try:
            self._gatekeeper.check(scope["method"], call.path, call.headers)
            async with asyncio.timeout(self.service.settings.request_timeout):
                await self._router.app(scope, receive, send)
                return scope["bge.answer"]  # type: ignore[no-any-return]
        except Exception as error:
            return self._refuse(error, call)

    def _problem(self, error: Exception) -> Problem:
        if isinstance(error, TimeoutError):
            seconds = self.service.settings.request_timeout
            return Problem(Kind.TIMEOUT, f"no answer within {seconds:g} seconds.")
        if not isinstance(error, HTTPException):
            return problem_of(error)
        if error.status_code == 405:
            allow = (error.headers or {}).get("Allow")
            return Problem(Kind.NO_METHOD, f"This route takes {allow}.", allow=allow)
        return Problem(Kind.NO_ROUTE, "There is no such route; /openapi.json has them all.")

    def _refuse(self, error: Exception, call: Call) -> Answer:
        problem = self._problem(error)
        if problem.kind is Kind.INTERNAL:
            log.exception("request %s failed", call.id)
        self.service.metrics.failed(problem.kind)
        answer = _dialect(call.path)(problem, call)
        if problem.retry_after is not None:
            answer.headers.append((b"retry-after", b"%d" % problem.retry_after))
        if problem.allow:
            answer.headers.append((b"allow", problem.allow.encode()))
        if problem.kind is Kind.TIMEOUT:
            answer.headers.append((b"connection", b"close"))
        return answer

    def _stamped(self, answer: Answer, call: Call) -> Answer:
        answer.headers.append((b"x-request-id", call.id.encode()))
        if self.draining:
            answer.headers.append((b"connection", b"close"))
        return answer

    def _log(self, call: Call, status: int) -> None:
        if self.service.settings.access_log:
            say_request(call, status)


def _dialect(path: str) -> Refusal:
    if path.startswith("/v1/"):
        return openai.refusal
    if not path.startswith("/client/v4/"):
        return tei.refusal
    return openai.refusal if "/ai/v1/" in path else cloudflare_errors.refusal
