"""Cloudflare's error bodies: two layers, two shapes, and the codes that its clients look for."""

from typing import Any

from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Answer, Call, Header, to_json

# The API gateway: auth and routes. `result` is null and the model was never reached.
GATEWAY = {
    Kind.NO_TOKEN: (400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"),
    Kind.MALFORMED_TOKEN: (400, 6003, "Invalid request headers"),
    Kind.WRONG_TOKEN: (401, 10000, "Authentication error"),
    Kind.NO_ROUTE: (400, 7000, "No route for that URI"),
    Kind.NO_METHOD: (405, 7001, "{method} not supported for requested URI"),
}
CHAIN = [{"code": 6111, "message": "Invalid format for Authorization header"}]

# Workers AI itself: `result` is {}, the message names the request. None: the problem's own words.
WORKERS_AI: dict[Kind, tuple[int, int, str | None]] = {
    Kind.NO_MODEL: (400, 5007, None),
    Kind.NO_BODY: (400, 3003, "Request is missing headers or body: {message}"),
    Kind.NOT_JSON: (400, 5006, "Bad input: Error: {message}"),
    Kind.INVALID: (400, 5006, None),
    Kind.EMPTY: (400, 5006, None),
    Kind.TOO_LONG: (400, 3030, None),
    Kind.BODY_TOO_LARGE: (413, 3006, "Request is too large: {message}"),
    Kind.NO_QUEUE: (400, 8007, None),
    Kind.UNKNOWN_BATCH: (404, 7003, None),
    Kind.TIMEOUT: (408, 3007, "Request timeout: {message}"),
    Kind.OVERLOADED: (429, 3040, "Capacity temporarily exceeded, please try again."),
    Kind.BACKEND: (500, 500, None),  # these two are ours: Cloudflare's are not known
    Kind.INTERNAL: (500, 500, None),
}


def describe(problem: Problem) -> tuple[int, dict[str, Any]]:
    """Status, and {"code", "message"} as Workers AI words it, without the request's id."""
    status, code, words = WORKERS_AI.get(problem.kind, (500, 500, None))
    message = words.format(message=problem.message) if words else problem.message
    return status, {"code": code, "message": f"AiError: {message}"}


def refusal(problem: Problem, call: Call) -> Answer:
    """The answer to a request that failed."""
    headers: list[Header] = []
    at_gateway = problem.kind in GATEWAY
    if at_gateway:
        status, error = _gateway_error(problem, call)
    else:
        status, error = describe(problem)
        error["message"] += f" ({call.id})"
        headers.append((b"cf-ai-req-id", call.id.encode()))
    body: dict[str, Any] = {"errors": [error], "success": False, "result": {}, "messages": []}
    if at_gateway:
        body["result"] = None
    return Answer(status, to_json(body), headers)


def _gateway_error(problem: Problem, call: Call) -> tuple[int, dict[str, Any]]:
    if problem.kind is Kind.NO_ROUTE and call.path.startswith("/client/v4/accounts/"):
        told = f"Could not route to {call.path[:200]}, perhaps your object identifier is invalid?"
        return 404, {"code": 7003, "message": told}
    status, code, words = GATEWAY[problem.kind]
    error: dict[str, Any] = {"code": code, "message": words.format(method=call.scope["method"])}
    if problem.kind is Kind.MALFORMED_TOKEN:
        error["error_chain"] = CHAIN
    return status, error
