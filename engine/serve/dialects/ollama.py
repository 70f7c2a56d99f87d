"""The embedding routes of Ollama's API: /api/embed, and /api/embeddings from before it."""

import time
from typing import Any

from starlette.responses import Response

import engine
from engine.serve.batching.models import ServedModel
from engine.serve.batching.request import Work, WorkOptions
from engine.serve.dialects import schemas
from engine.serve.dialects.dialect import Dialect
from engine.serve.dialects.schemas import INTEGER, NUMBERS, STRING, VECTORS, Paths, array, obj
from engine.serve.http import validation
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Handler, JSONResponse, Request, array_to_json, to_json
from engine.serve.service import vector_headers

MAX_INPUTS = 2048
LATEST = ":latest"  # the tag that Ollama's clients put behind a name

STATUS = {
    ErrorKind.NO_TOKEN: 401,
    ErrorKind.MALFORMED_TOKEN: 401,
    ErrorKind.WRONG_TOKEN: 401,
    ErrorKind.NO_ROUTE: 404,
    ErrorKind.NO_METHOD: 405,
    ErrorKind.NO_MODEL: 404,
    ErrorKind.BODY_TOO_LARGE: 413,
    ErrorKind.TIMEOUT: 408,
    ErrorKind.OVERLOADED: 503,  # as Ollama; its clients know no 429
    ErrorKind.BACKEND: 500,
    ErrorKind.INTERNAL: 500,
}  # else 400

COUNTS = {"total_duration": INTEGER, "load_duration": INTEGER, "prompt_eval_count": INTEGER}
EMBEDDINGS = obj({"model": STRING, "embeddings": VECTORS, **COUNTS}, "model embeddings")
EMBEDDING = obj({"embedding": NUMBERS}, "embedding")
TAGS = obj({"models": array(obj({"name": STRING, "model": STRING}))}, "models")
VERSION = obj({"version": STRING}, "version")
ERROR = obj({"error": STRING}, "error")


class Ollama(Dialect):
    """Vectors have unit length and the checkpoint's pooling."""

    name = "ollama"
    title = "Ollama"

    def owns(self, path: str) -> bool:
        return path.startswith("/api/")

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/api/embed", self.embed),
            ("POST", "/api/embeddings", self.embeddings),
            ("GET", "/api/tags", self.tags),
            ("GET", "/api/version", self.version),
        ]

    async def embed(self, request: Request) -> Response:
        """POST /api/embed: a vector for each text of `input`."""
        body = validation.object_of(await self.service.json(request))
        texts = validation.strings(body.get("input"), "input")
        served = self.service.models.given(self._model(body))
        dimensions = validation.dimensions(body, served.embedder.dim)
        work = await self._run(request, served, texts, body)
        vectors = await array_to_json(work.vectors(truncate_dim=dimensions))
        rest = {
            "total_duration": round(1e9 * (time.perf_counter() - request.started)),
            "load_duration": 0,
            "prompt_eval_count": work.tokens,
        }
        model = to_json(body.get("model") or served.names[0])
        content = b'{"model":%b,"embeddings":%b,%b' % (model, vectors, to_json(rest)[1:])
        return JSONResponse(content, headers=vector_headers(request, work.options))

    async def embeddings(self, request: Request) -> Response:
        """POST /api/embeddings: the vector of `prompt`."""
        body = validation.object_of(await self.service.json(request))
        text = validation.text(body, "prompt")
        if text is None:
            raise HTTPError(ErrorKind.INVALID, "`prompt` is missing; give a string.")
        served = self.service.models.given(self._model(body))
        work = await self._run(request, served, [text], body)
        content = b'{"embedding":%b}' % to_json(work.vectors()[0])
        return JSONResponse(content, headers=vector_headers(request, work.options))

    async def tags(self, request: Request) -> Response:
        """GET /api/tags: the models."""
        names = [served.names[0] for served in self.service.models.all]
        return JSONResponse({"models": [{"name": name, "model": name} for name in names]})

    async def version(self, request: Request) -> Response:
        """GET /api/version: of this package."""
        return JSONResponse({"version": engine.__version__})

    def _model(self, body: dict[str, Any]) -> str | None:
        name = validation.text(body, "model")
        return name.removesuffix(LATEST) if name else name

    async def _run(
        self, request: Request, served: ServedModel, texts: list[str], body: dict[str, Any]
    ) -> Work:
        if not 1 <= len(texts) <= MAX_INPUTS:
            message = f"`input` has {len(texts)} texts; it must have from 1 to {MAX_INPUTS}."
            raise HTTPError(ErrorKind.INVALID, message)
        cut = validation.flag(body, "truncate", True)
        options = WorkOptions(served.embedder.pooling, truncate=cut)
        return await self.service.embed(request, served, texts, options)

    def error_response(self, error: HTTPError, request: Request) -> Response:
        return JSONResponse({"error": error.message}, STATUS.get(error.kind, 400))

    def openapi_paths(self) -> Paths:
        models = self.service.models
        smallest = min(served.embedder.dim for served in models.all)
        alone = len(models.all) == 1
        required = "" if alone else "model "
        model = schemas.model_name(models.names, optional=alone)
        fields = {"model": model, "truncate": schemas.nullable("boolean")}
        one_or_more = {"oneOf": [STRING, array(STRING, minItems=1, maxItems=MAX_INPUTS)]}
        dimensions = schemas.nullable("integer", minimum=1, maximum=smallest)
        embed = schemas.operation("ollamaEmbed", "Embed texts", EMBEDDINGS)
        embed["requestBody"] = schemas.request_body(
            obj({**fields, "input": one_or_more, "dimensions": dimensions}, required + "input")
        )
        embeddings = schemas.operation("ollamaEmbeddings", "Embed one text", EMBEDDING)
        embeddings["requestBody"] = schemas.request_body(
            obj({**fields, "prompt": STRING}, required + "prompt")
        )
        paths: Paths = {
            "/api/embed": {"post": embed},
            "/api/embeddings": {"post": embeddings},
            "/api/tags": {"get": schemas.operation("ollamaTags", "The models", TAGS)},
            "/api/version": {"get": schemas.operation("ollamaVersion", "The version", VERSION)},
        }
        statuses = ("400", "401", "404", "408", "413", "500", "503")
        return schemas.with_errors(paths, statuses, ERROR)
