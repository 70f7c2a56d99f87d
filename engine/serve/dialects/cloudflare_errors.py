"""Cloudflare's error bodies: of the API gateway, and of Workers AI behind it."""

from typing import Any

from starlette.responses import Response

from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import JSONResponse, Request

# The API gateway: authentication and routes. `result` is null.
# Status, code, message.
GATEWAY = {
    ErrorKind.WRONG_HOST: (400, 6003, "Invalid request headers: {message}"),
    ErrorKind.NO_TOKEN: (400, 9106, "Missing X-Auth-Key, X-Auth-Email or Authorization headers"),
    ErrorKind.MALFORMED_TOKEN: (400, 6003, "Invalid request headers"),
    ErrorKind.WRONG_TOKEN: (401, 10000, "Authentication error"),
    ErrorKind.NO_ROUTE: (400, 7000, "No route for that URI"),
    ErrorKind.NO_METHOD: (405, 7001, "{method} not supported for requested URI"),
}
CHAIN = [{"code": 6111, "message": "Invalid format for Authorization header"}]

# Workers AI: `result` is {}, the message contains the request id. None: the error's own message.
WORKERS_AI: dict[ErrorKind, tuple[int, int, str | None]] = {
    ErrorKind.NO_MODEL: (400, 5007, None),
    ErrorKind.NO_BODY: (400, 3003, "Request is missing headers or body: {message}"),
    ErrorKind.NOT_JSON: (400, 5006, "Bad input: Error: {message}"),
    ErrorKind.INVALID: (400, 5006, None),
    ErrorKind.EMPTY: (400, 5006, None),
    ErrorKind.TOO_LONG: (400, 3030, None),
    ErrorKind.BODY_TOO_LARGE: (413, 3006, "Request is too large: {message}"),
    ErrorKind.NO_QUEUE: (400, 8007, None),
    ErrorKind.QUEUE_DOWN: (503, 3040, None),
    ErrorKind.QUEUE_DISK_FULL: (507, 3040, None),
    ErrorKind.UNKNOWN_BATCH: (404, 7003, None),
    ErrorKind.TIMEOUT: (408, 3007, "Request timeout: {message}"),
    ErrorKind.OVERLOADED: (429, 3040, "Capacity temporarily exceeded, please try again."),
    ErrorKind.BACKEND: (500, 500, None),  # our choice: Cloudflare's codes are not known
    ErrorKind.INTERNAL: (500, 500, None),
}


def describe(error: HTTPError) -> tuple[int, dict[str, Any]]:
    """Status, and {"code", "message"} in the words of Workers AI, without the request id."""
    status, code, words = WORKERS_AI.get(error.kind, (500, 500, None))
    message = words.format(message=error.message) if words else error.message
    return status, {"code": code, "message": f"AiError: {message}"}


def error_response(error: HTTPError, request: Request) -> Response:
    """The response to a failed request."""
    body: dict[str, Any] = {"success": False, "messages": []}
    if error.kind in GATEWAY:
        status, entry = _gateway_error(error, request)
        return JSONResponse({"errors": [entry], **body, "result": None}, status)
    status, entry = describe(error)
    entry["message"] += f" ({request.id})"
    headers = {"cf-ai-req-id": request.id}
    return JSONResponse({"errors": [entry], **body, "result": {}}, status, headers)


def _gateway_error(error: HTTPError, request: Request) -> tuple[int, dict[str, Any]]:
    if error.kind is ErrorKind.NO_ROUTE and request.path.startswith("/client/v4/accounts/"):
        route = request.path[:200]
        message = f"Could not route to {route}, perhaps your object identifier is invalid?"
        return 404, {"code": 7003, "message": message}
    status, code, words = GATEWAY[error.kind]
    message = words.format(method=request.method, message=error.message)
    entry: dict[str, Any] = {"code": code, "message": message}
    if error.kind is ErrorKind.MALFORMED_TOKEN:
        entry["error_chain"] = CHAIN
    return status, entry
