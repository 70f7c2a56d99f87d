"""Cloudflare Workers AI's REST API: run a model now or later, and list the models."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.responses import Response

from engine.errors import Overloaded
from engine.literals import POOLINGS, Pooling
from engine.serve.batching.models import ServedModel
from engine.serve.batching.request import Vectors, WorkOptions
from engine.serve.dialects import cloudflare_errors, cloudflare_openapi
from engine.serve.dialects.cloudflare_validation import (
    check_batch,
    check_item,
    check_option,
    check_run,
)
from engine.serve.dialects.dialect import Dialect
from engine.serve.dialects.schemas import ACCOUNT, Paths
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Handler, JSONResponse, Request, array_to_json, to_json
from engine.serve.service import Service, vector_headers

if TYPE_CHECKING:
    from engine.serve.queue.batch_queue import BatchQueue

POOLING: Pooling = "mean"  # Cloudflare's default, whatever the checkpoint's
ENVELOPE = b'{"result":%b,"success":true,"errors":[],"messages":[]}'


class Cloudflare(Dialect):
    """The routes below /client/v4, except OpenAI's."""

    name = "cloudflare"
    title = "Cloudflare Workers AI"
    default_pooling = POOLING

    def owns(self, path: str) -> bool:
        return path.startswith("/client/v4/")

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", f"{ACCOUNT}/ai/run/{{model:path}}", self.run),
            ("GET", f"{ACCOUNT}/ai/models/search", self.search),
            ("GET", f"{ACCOUNT}/ai/models/schema", self.schema),
            ("GET", f"{ACCOUNT}/tokens/verify", self.verify),
            ("GET", "/client/v4/user/tokens/verify", self.verify),
        ]

    def error_response(self, error: HTTPError, request: Request) -> Response:
        return cloudflare_errors.error_response(error, request)

    def openapi_paths(self) -> Paths:
        return cloudflare_openapi.paths(self.service)

    async def run(self, request: Request) -> Response:
        """POST .../ai/run/{model}: compute vectors, queue a batch, or poll a batch."""
        served = self.service.models.find(request.path_params["model"])
        body = await self.service.json(request)
        if isinstance(body, dict) and "request_id" in body:
            response = await self._poll(request, body["request_id"])
        elif request.query_params.get("queueRequest", "").lower() in ("true", "1"):
            response = await self._submit(request, served, body)
        elif check_run(body) == "requests":
            response = await self._run_batch(request, served, body)
        else:
            response = await self._run_one(request, served, body)
        response.headers["cf-ai-req-id"] = request.id
        return response

    async def _run_one(
        self, request: Request, served: ServedModel, body: dict[str, Any]
    ) -> Response:
        options = _options(body, only_if_idle=check_option(body, "rejectIfBusy"))
        work = await self.service.embed(request, served, _texts(body), options)
        vectors = work.vectors()
        data = await array_to_json(vectors)
        pooling = options.pooling.encode()
        result = b'{"shape":[%d,%d],"data":%b,"pooling":"%b"}' % (*vectors.shape, data, pooling)
        return JSONResponse(ENVELOPE % result, headers=vector_headers(request, options))

    async def _run_batch(
        self, request: Request, served: ServedModel, body: dict[str, Any]
    ) -> Response:
        """Runs a batch immediately, without the queue: one call of `embed` for each pooling."""
        busy = check_option(body, "rejectIfBusy")
        numbered = list(enumerate(check_batch(body)))
        responses: dict[int, dict[str, Any]] = {}
        tokens = 0
        for pooling in POOLINGS:
            items = [(i, item) for i, item in numbered if item.get("pooling", POOLING) == pooling]
            texts = [text for _, item in items for text in _texts(item)]
            if not texts:
                continue
            options = WorkOptions(pooling=pooling, only_if_idle=busy and not responses)
            work = await self.service.embed(request, served, texts, options)
            tokens += work.tokens
            rows = iter(work.vectors())
            for i, item in items:
                vectors = np.stack(list(itertools.islice(rows, len(_texts(item)))))
                responses[i] = _response(i, item, _result(vectors, pooling))
        return await _responses([responses[i] for i, _ in numbered], _usage(tokens))

    async def _submit(self, request: Request, served: ServedModel, body: Any) -> Response:
        if isinstance(body, dict) and "text" in body and "requests" not in body:
            body = {"requests": [body]}
        requests = check_batch(body)
        queue = self._queue()
        request.model, name = served.names[0], request.path_params["model"]
        request_id = await queue.submit(name, request.path_params["account"], requests)
        return _success({"status": "queued", "request_id": request_id, "model": name})

    async def _poll(self, request: Request, request_id: Any) -> Response:
        status = None
        if isinstance(request_id, str):
            status = await self._queue().status(request.path_params["account"], request_id)
        if status is None:
            raise HTTPError(
                ErrorKind.UNKNOWN_BATCH,
                f"No such request_id: {str(request_id)[:100]} is unknown to this account, or its "
                f"results, kept {self.service.settings.queue_retention:g} seconds, have expired.",
            )
        request.model = status.model
        if status.state != "done":
            return _success(
                {"status": status.state, "request_id": request_id, "model": status.model}
            )
        return await _responses(status.responses or [], status.usage)

    def _queue(self) -> "BatchQueue":
        if not self.service.has_queue:
            raise HTTPError(
                ErrorKind.NO_QUEUE,
                "This model does not support request queuing: the server runs with --queue none.",
            )
        if self.service.queue is None:
            raise HTTPError(
                ErrorKind.QUEUE_DOWN,
                "The batch queue's database cannot be used at the moment; the server's log says "
                "why. Retry later.",
            )
        return self.service.queue

    async def search(self, request: Request) -> Response:
        """GET .../ai/models/search: the loaded models, all on the first page."""
        page = request.query_params.get("page", "1")
        found = [_about(served) for served in self.service.models.all] if page == "1" else []
        wanted = request.query_params.get("search", "").lower()
        found = [about for about in found if wanted in about["name"].lower()]
        count = {"count": len(found), "page": int(page) if page.isdecimal() else 1}
        info = {**count, "per_page": 50, "total_count": len(self.service.models.all)}
        body = {"result": found, "success": True, "errors": [], "messages": []}
        return JSONResponse({**body, "result_info": info})

    async def schema(self, request: Request) -> Response:
        """GET .../ai/models/schema?model=: JSON Schemas of a model's input and output."""
        self.service.models.find(request.query_params.get("model", ""))
        schemas = {"input": cloudflare_openapi.RUN_INPUT, "output": cloudflare_openapi.RUN_OUTPUT}
        return _success(schemas)

    async def verify(self, request: Request) -> Response:
        """GET .../tokens/verify: authentication has already accepted the token."""
        message = {"code": 10000, "message": "This API Token is valid and active", "type": None}
        result = {"id": "0" * 32, "status": "active"}
        return JSONResponse(
            {"result": result, "success": True, "errors": [], "messages": [message]}
        )


async def run_item(service: Service, model: str, item: dict[str, Any]) -> dict[str, Any]:
    """Computes one request of a queued batch, with low priority. An invalid one fails alone.

    Raises Overloaded, so that the queue retries; every other error becomes the item's response.
    """
    try:
        served = service.models.find(model)
        check_item(item)
        texts = served.prompted(_texts(item))
        work = await served.batcher.embed(texts, _options(item, background=True))
    except HTTPError as error:
        if error.kind is ErrorKind.OVERLOADED:
            raise Overloaded(error.message) from None
        _, entry = cloudflare_errors.describe(error)
        return {"success": False, "result": None, "error": entry, "prompt_tokens": 0}
    result = _result(work.vectors(), work.options.pooling)
    return {"success": True, "result": result, "prompt_tokens": work.tokens}


def _texts(fields: dict[str, Any]) -> list[str]:
    text = fields["text"]
    return [text] if isinstance(text, str) else text


def _options(
    fields: dict[str, Any], *, only_if_idle: bool = False, background: bool = False
) -> WorkOptions:
    pooling = fields.get("pooling", POOLING)
    return WorkOptions(pooling, only_if_idle=only_if_idle, background=background)


def _result(vectors: Vectors, pooling: str) -> dict[str, Any]:
    return {"shape": list(vectors.shape), "data": vectors, "pooling": pooling}


def _response(index: int, item: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    reference = item.get("external_reference")
    return {"id": index, "result": result, "success": True, "external_reference": reference}


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}


def _success(result: dict[str, Any]) -> Response:
    return JSONResponse(ENVELOPE % to_json(result))


async def _responses(responses: Sequence[Any], usage: Any) -> Response:
    data = await array_to_json(responses, step=1)
    return JSONResponse(ENVELOPE % (b'{"responses":%b,"usage":%b}' % (data, to_json(usage))))


def _about(served: ServedModel) -> dict[str, Any]:
    embedder = served.embedder
    properties = {
        "max_input_tokens": embedder.max_tokens,
        "output_dimensions": embedder.dim,
        "default_pooling": POOLING,
        "precision": embedder.precision,
    }
    return {
        "id": embedder.model_hash[:32],
        "source": 1,
        "name": served.names[0],
        "description": f"{served.hub_name}, text embeddings of {embedder.dim} numbers",
        "task": {"id": "text-embeddings", "name": "Text Embeddings", "description": ""},
        "tags": list(served.names[1:]),
        "properties": [
            {"property_id": name, "value": str(value)} for name, value in properties.items()
        ],
    }
