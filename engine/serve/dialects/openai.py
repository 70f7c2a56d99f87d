"""OpenAI's embeddings API, at /v1 and at Cloudflare's /client/v4/accounts/{account}/ai/v1."""

import base64
from typing import Any

from engine.literals import POOLINGS
from engine.serve.batching.models import Served
from engine.serve.batching.request import Vectors, Wish
from engine.serve.http import validation
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Answer, Call, Header, array_to_json, to_json
from engine.serve.service import Service, notes

MAX_INPUTS = 2048
FORMATS = ("float", "base64")

# Status, type, code for OpenAI's clients, code for Cloudflare's; code None: that number in words.
ERRORS: dict[Kind, tuple[int, str, str | None, int]] = {
    Kind.NO_TOKEN: (401, "invalid_request_error", "invalid_api_key", 9106),
    Kind.MALFORMED_TOKEN: (401, "invalid_request_error", "invalid_api_key", 6003),
    Kind.WRONG_TOKEN: (401, "invalid_request_error", "invalid_api_key", 10000),
    Kind.NO_ROUTE: (404, "invalid_request_error", "unknown_url", 7000),
    Kind.NO_METHOD: (405, "invalid_request_error", "method_not_supported", 7001),
    Kind.NO_MODEL: (404, "invalid_request_error", "model_not_found", 5007),
    Kind.NO_BODY: (400, "invalid_request_error", None, 3003),
    Kind.BODY_TOO_LARGE: (413, "invalid_request_error", None, 3006),
    Kind.TIMEOUT: (408, "timeout", None, 3007),
    Kind.OVERLOADED: (429, "rate_limit_error", "rate_limit_exceeded", 3040),
    Kind.BACKEND: (500, "server_error", None, 500),
    Kind.INTERNAL: (500, "server_error", None, 500),
}
BAD_REQUEST = (400, "invalid_request_error", None, 5006)
TOKEN_IDS = (
    "'$.input' is invalid: it holds token ids, and ids of another tokenizer would give vectors "
    "without meaning; send text. "
    "With LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)."
)


class OpenAI:
    """Embeddings and the list of models."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def embeddings(self, call: Call) -> Answer:
        """POST /v1/embeddings. `pooling` is an extra field; by default the checkpoint decides."""
        body = validation.object_of(await self.service.json(call))
        name = validation.text(body, "model")
        if name is None:
            raise Problem(Kind.INVALID, "you must provide a model parameter", param="model")
        served = self.service.models.find(name)
        texts = _inputs(body)
        encoding = _encoding(body)
        dimensions = _dimensions(body, served)
        validation.text(body, "user")
        wish = Wish(pooling=validation.choice(body, "pooling", POOLINGS, served.embedder.pooling))
        job = await self.service.embed(call, served, texts, wish)
        data = await _data(job.vectors(truncate_dim=dimensions), encoding)
        rest = {
            "model": name,
            "usage": {"prompt_tokens": job.tokens, "total_tokens": job.tokens},
            "pooling": wish.pooling,
        }
        written = b'{"object":"list","data":%b,%b' % (data, to_json(rest)[1:])
        return Answer(200, written, notes(call, wish))

    async def models(self, call: Call) -> Answer:
        """GET /v1/models: every model once, under its first name."""
        data = [_model(served, served.names[0]) for served in self.service.models.all]
        return Answer(200, to_json({"object": "list", "data": data}))

    async def model(self, call: Call) -> Answer:
        """GET /v1/models/{model}: one of them, by any name."""
        name = call.params["model"]
        return Answer(200, to_json(_model(self.service.models.find(name), name)))


def _inputs(body: dict[str, Any]) -> list[str]:
    given = body.get("input")
    if isinstance(given, list) and given and all(isinstance(each, int | list) for each in given):
        raise Problem(Kind.INVALID, TOKEN_IDS, param="input")
    if given is None or given == []:
        raise _invalid("it must be a string or an array of strings, at least one.")
    texts = validation.strings(given, "input")
    if len(texts) > MAX_INPUTS:
        raise _invalid(f"array length must be {MAX_INPUTS} or less, and it is {len(texts)}.")
    if "" in texts:
        raise _invalid(f"input[{texts.index('')}] is an empty string.")
    return texts


def _invalid(why: str) -> Problem:
    return Problem(Kind.INVALID, f"'$.input' is invalid: {why}", param="input")


def _encoding(body: dict[str, Any]) -> str:
    value = validation.given(body, "encoding_format", "float")
    if value not in FORMATS:
        told = f"Invalid value for 'encoding_format' = {value if isinstance(value, str) else ''}"
        raise Problem(
            Kind.INVALID,
            f"{told[:100]}. Supported values: {list(FORMATS)}.",
            param="encoding_format",
        )
    return value  # type: ignore[no-any-return]


def _dimensions(body: dict[str, Any], served: Served) -> int | None:
    value = validation.whole_number(body, "dimensions")
    if value is not None and not 1 <= value <= served.embedder.dim:
        raise validation.wrong("dimensions", value, f"from 1 to {served.embedder.dim}")
    return value


async def _data(vectors: Vectors, encoding: str) -> bytes:
    rows: Any = vectors
    if encoding == "base64":
        little = vectors.astype("<f4", copy=False)
        rows = [base64.b64encode(row.tobytes()).decode() for row in little]
    return await array_to_json(
        [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    )


def _model(served: Served, name: str) -> dict[str, Any]:
    owner = served.hub_name.rpartition("/")[0] or "local"
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def refusal(problem: Problem, call: Call) -> Answer:
    """An error that OpenAI's clients and Cloudflare's both read: `error` and `errors`."""
    status, type_, code, number = ERRORS.get(problem.kind, BAD_REQUEST)
    message = problem.message
    error = {"message": message, "type": type_, "param": problem.param, "code": code or str(number)}
    body = {
        "error": error,
        "errors": [{"code": number, "message": message}],
        "success": False,
        "result": {},
        "messages": [],
    }
    headers: list[Header] = []
    return Answer(status, to_json(body), headers)
