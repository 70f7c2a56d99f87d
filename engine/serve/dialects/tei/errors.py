"""The errors of text-embeddings-inference: statuses, words, and the JSON of a response."""

from starlette.responses import Response

from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import JSONResponse

PLAIN = "text/plain; version=0.0.4; charset=utf-8"

ERRORS = {
    ErrorKind.NO_TOKEN: (401, "Unauthorized"),
    ErrorKind.MALFORMED_TOKEN: (401, "Unauthorized"),
    ErrorKind.WRONG_TOKEN: (401, "Unauthorized"),
    ErrorKind.WRONG_HOST: (400, "Validation"),
    ErrorKind.NO_ROUTE: (404, "Validation"),
    ErrorKind.NO_METHOD: (405, "Validation"),
    ErrorKind.NO_BODY: (400, "Validation"),
    ErrorKind.NOT_JSON: (400, "Validation"),
    ErrorKind.BODY_TOO_LARGE: (413, "Validation"),
    ErrorKind.EMPTY: (400, "Empty"),
    ErrorKind.TIMEOUT: (408, "Backend"),
    ErrorKind.OVERLOADED: (429, "Overloaded"),
    ErrorKind.BACKEND: (424, "Backend"),
    ErrorKind.INTERNAL: (500, "Backend"),
}
WORDS = {
    ErrorKind.NOT_JSON: "Failed to parse the request body as JSON: {}",
    ErrorKind.NO_BODY: "Failed to parse the request body as JSON: {}",
    ErrorKind.BODY_TOO_LARGE: "Failed to buffer the request body: length limit exceeded. {}",
    ErrorKind.OVERLOADED: "Model is overloaded",
    ErrorKind.TOO_LONG: "Input validation error: {}",
}


def error_response(error: HTTPError) -> Response:
    """{"error", "error_type"}. TEI's 401 is empty, and its clients then fail on the JSON."""
    status, type_ = ERRORS.get(error.kind, (422, "Validation"))
    message = WORDS.get(error.kind, "{}").format(error.message)
    return JSONResponse({"error": message, "error_type": type_}, status)
