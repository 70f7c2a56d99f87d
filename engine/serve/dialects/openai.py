"""OpenAI's embeddings API, at /v1, at the root, and at Cloudflare's and Azure's addresses."""

from typing import Any

from starlette.responses import Response

from engine.literals import POOLINGS
from engine.serve.batching.models import ServedModel
from engine.serve.batching.request import Text, WorkOptions
from engine.serve.dialects import chunking, cloudflare_openapi, schemas
from engine.serve.dialects.chunking import Chunking, Computed
from engine.serve.dialects.dialect import Dialect
from engine.serve.dialects.openai_ids import TokenIds
from engine.serve.dialects.output_types import SCHEMA, converted, output_type, to_base64
from engine.serve.dialects.schemas import ACCOUNT, INTEGER, STRING, Paths, array, nullable, obj
from engine.serve.http import validation
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Handler, JSONResponse, Request, array_to_json, to_json
from engine.serve.service import Service, vector_headers

MAX_INPUTS = 2048
FORMATS = ("float", "base64")
# As Voyage, Cohere and NVIDIA call them -> the kind of the checkpoint's prompt.
INPUT_TYPES = {
    "query": "query",
    "document": "document",
    "search_query": "query",
    "search_document": "document",
    "passage": "document",
}
# With what is put behind the names of their operations.
PREFIXES = {"/v1": "", "": "Root", "/openai/v1": "Azure", f"{ACCOUNT}/ai/v1": "Account"}
DEPLOYMENT = "/openai/deployments/{model}/embeddings"  # Azure's older one: the path has the model

# Status, type, code for OpenAI's clients (None: Cloudflare's), code for Cloudflare's clients.
ERRORS: dict[ErrorKind, tuple[int, str, str | None, int]] = {
    ErrorKind.WRONG_HOST: (400, "invalid_request_error", None, 6003),
    ErrorKind.NO_TOKEN: (401, "invalid_request_error", "invalid_api_key", 9106),
    ErrorKind.MALFORMED_TOKEN: (401, "invalid_request_error", "invalid_api_key", 6003),
    ErrorKind.WRONG_TOKEN: (401, "invalid_request_error", "invalid_api_key", 10000),
    ErrorKind.NO_ROUTE: (404, "invalid_request_error", "unknown_url", 7000),
    ErrorKind.NO_METHOD: (405, "invalid_request_error", "method_not_supported", 7001),
    ErrorKind.NO_MODEL: (404, "invalid_request_error", "model_not_found", 5007),
    ErrorKind.NO_BODY: (400, "invalid_request_error", None, 3003),
    ErrorKind.BODY_TOO_LARGE: (413, "invalid_request_error", None, 3006),
    ErrorKind.TIMEOUT: (408, "timeout", None, 3007),
    ErrorKind.OVERLOADED: (429, "rate_limit_error", "rate_limit_exceeded", 3040),
    ErrorKind.BACKEND: (500, "server_error", None, 500),
    ErrorKind.INTERNAL: (500, "server_error", None, 500),
}
BAD_REQUEST = (400, "invalid_request_error", None, 5006)

USAGE = obj({"prompt_tokens": INTEGER, "total_tokens": INTEGER}, "prompt_tokens total_tokens")
VECTOR = {"oneOf": [schemas.NUMBERS, {"type": "string", "contentEncoding": "base64"}]}
EMBEDDING = obj(
    {
        "object": {"const": "embedding"},
        "index": INTEGER,
        "embedding": VECTOR,
        "scale": {"type": "number"},
        "input": INTEGER,
        **chunking.SPAN,
    }
)
EMBEDDINGS = obj(
    {"object": {"const": "list"}, "data": array(EMBEDDING), "model": STRING, "usage": USAGE},
    "object data model usage",
)
MODEL = obj({"id": STRING, "object": {"const": "model"}, "owned_by": STRING}, "id object")
MODELS = obj({"object": {"const": "list"}, "data": array(MODEL)}, "object data")
DETAILS = {
    "message": STRING,
    "type": STRING,
    "param": nullable("string"),
    "code": nullable("string"),
}
ERROR = obj(
    {
        "error": obj(DETAILS, "message type param code"),
        "errors": array(cloudflare_openapi.ERROR, minItems=1),
        "success": {"const": False},
    },
    "error errors success",
)


class OpenAI(Dialect):
    """Embeddings and the list of models."""

    name = "openai"
    title = "OpenAI"

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._ids = TokenIds(service.settings.openai_ids)

    def owns(self, path: str) -> bool:
        at_root = path in ("/embeddings", "/models") or path.startswith(("/models/", "/openai/"))
        of_account = path.startswith("/client/v4/") and "/ai/v1/" in path
        return path.startswith("/v1/") or at_root or of_account

    def routes(self) -> list[tuple[str, str, Handler]]:
        found: list[tuple[str, str, Handler]] = []
        for prefix in PREFIXES:
            found.append(("POST", f"{prefix}/embeddings", self.embeddings))
            found.append(("GET", f"{prefix}/models", self.models))
            found.append(("GET", f"{prefix}/models/{{model:path}}", self.model))
        found.append(("POST", DEPLOYMENT.replace("}", ":path}"), self.embeddings))
        return found

    async def embeddings(self, request: Request) -> Response:
        """POST /v1/embeddings. `model` may be left out where one is served.

        `pooling`, `input_type`, `prompt_name`, `output_dtype` and `chunking` are extra fields: the
        default pooling is the checkpoint's, and prompts are those of the checkpoint.
        """
        body = validation.object_of(await self.service.json(request))
        name = request.path_params.get("model") or validation.text(body, "model")
        served = self.service.models.given(name)
        texts = self._inputs(body, served)
        encoding = _encoding(body)
        dimensions = validation.dimensions(body, served.embedder.dim)
        wanted = output_type(body)
        validation.text(body, "user")
        pooling = validation.choice(body, "pooling", POOLINGS, served.embedder.pooling)
        options = WorkOptions(pooling)
        found = await chunking.compute(
            self.service, request, served, texts, options, _prompt(body, served),
            Chunking.of(body), truncate_dim=dimensions,
        )  # fmt: skip
        work, data = found.work, await _data(found, encoding, wanted)
        rest = {
            "model": name or served.names[0],
            "usage": {"prompt_tokens": work.tokens, "total_tokens": work.tokens},
            "pooling": pooling,
        }
        content = b'{"object":"list","data":%b,%b' % (data, to_json(rest)[1:])
        return JSONResponse(content, headers=vector_headers(request, options))

    def _inputs(self, body: dict[str, Any], served: ServedModel) -> list[Text]:
        if body.get("input") in (None, "", []):
            raise _invalid_input("it must be a string or an array of strings, none of them empty.")
        given = validation.texts_or_ids(body["input"], "input")
        if len(given) > MAX_INPUTS:
            found = len(given)
            raise _invalid_input(f"array length must be {MAX_INPUTS} or less, and it is {found}.")
        if not all(given):
            place = next(i for i, each in enumerate(given) if not each)
            raise _invalid_input(f"input[{place}] is empty.")
        ids = [each for each in given if not isinstance(each, str)]
        return self._ids.read(ids, served) if ids else list(given)

    async def models(self, request: Request) -> Response:
        """GET /v1/models: every name that a request may give."""
        data = [_model(served, name) for served in self.service.models.all for name in served.names]
        return JSONResponse({"object": "list", "data": data})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{model}: one model, by any of its names."""
        name = request.path_params["model"]
        return JSONResponse(_model(self.service.models.find(name), name))

    def error_response(self, error: HTTPError, request: Request) -> Response:
        """An error for OpenAI's clients (`error`) and Cloudflare's (`errors`)."""
        status, type_, code, number = ERRORS.get(error.kind, BAD_REQUEST)
        message, code = error.message, code or str(number)
        body = {
            "error": {"message": message, "type": type_, "param": error.param, "code": code},
            "errors": [{"code": number, "message": message}],
            "success": False,
            "result": {},
            "messages": [],
        }
        return JSONResponse(body, status)

    def openapi_paths(self) -> Paths:
        models = self.service.models
        names = {"type": "string", "enum": models.names}
        prompts = set.intersection(*(set(served.embedder.prompts) for served in models.all))
        smallest = min(served.embedder.dim for served in models.all)
        fields = {
            "input": schemas.texts(MAX_INPUTS),
            "encoding_format": {"enum": [*FORMATS, None]},
            "dimensions": nullable("integer", minimum=1, maximum=smallest),
            "pooling": {"enum": [*POOLINGS, None]},
            "user": nullable("string"),
            "input_type": {"enum": [*INPUT_TYPES, None]},
            "prompt_name": {"enum": [*prompts, None]},
            "output_dtype": SCHEMA,
            "chunking": chunking.schema(models.all),
        }
        paths: Paths = {}
        alone = len(models.all) == 1
        named = {**fields, "model": schemas.model_name(models.names, optional=alone)}
        required = "input" if alone else "model input"
        embed = schemas.operation("createEmbeddingsDeployment", "Embed texts", EMBEDDINGS)
        embed["requestBody"] = schemas.request_body(obj(fields, "input"))
        of_model = [schemas.path_parameter("model", names)]
        paths[DEPLOYMENT] = {"post": embed, "parameters": of_model}
        for prefix, suffix in PREFIXES.items():
            parameters = [schemas.path_parameter("account")] if suffix == "Account" else []
            embed = schemas.operation(f"createEmbeddings{suffix}", "Embed texts", EMBEDDINGS)
            embed["requestBody"] = schemas.request_body(obj(named, required))
            paths[f"{prefix}/embeddings"] = {"post": embed, "parameters": parameters}
            listing = schemas.operation(f"listModels{suffix}", "The models", MODELS)
            paths[f"{prefix}/models"] = {"get": listing, "parameters": parameters}
            one = schemas.operation(f"getModel{suffix}", "One model", MODEL)
            of_model = [*parameters, schemas.path_parameter("model", names)]
            paths[f"{prefix}/models/{{model}}"] = {"get": one, "parameters": of_model}
        return schemas.with_errors(paths, cloudflare_openapi.STATUSES, ERROR)


def _invalid_input(why: str) -> HTTPError:
    return HTTPError(ErrorKind.INVALID, f"'$.input' is invalid: {why}", param="input")


def _prompt(body: dict[str, Any], served: ServedModel) -> str | None:
    """The prompt that the request asks for: by its name, or by what the texts are; or None."""
    kind = validation.choice(body, "input_type", ("", *INPUT_TYPES), "")
    name = validation.text(body, "prompt_name")
    if name is None and kind:
        return served.embedder.prompt_for(INPUT_TYPES[kind])
    return served.prompt_named(name)


def _encoding(body: dict[str, Any]) -> str:
    value = validation.given(body, "encoding_format", "float")
    if value not in FORMATS:
        shown = f"Invalid value for 'encoding_format' = {value if isinstance(value, str) else ''}"
        message = f"{shown[:100]}. Supported values: {list(FORMATS)}."
        raise HTTPError(ErrorKind.INVALID, message, param="encoding_format")
    return value  # type: ignore[no-any-return]


async def _data(found: Computed, encoding: str, wanted: str) -> bytes:
    values, scales = converted(found.vectors, wanted)
    rows: Any = [to_base64(row) for row in values] if encoding == "base64" else values
    data = [{"object": "embedding", "index": i, "embedding": row} for i, row in enumerate(rows)]
    if scales is not None:
        data = [each | {"scale": scale} for each, scale in zip(data, scales, strict=True)]
    if found.places is not None:
        data = [each | place for each, place in zip(data, found.places, strict=True)]
    return await array_to_json(data)


def _model(served: ServedModel, name: str) -> dict[str, Any]:
    owner = served.hub_name.rpartition("/")[0] or "local"
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
