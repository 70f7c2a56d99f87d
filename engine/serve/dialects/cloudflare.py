"""Cloudflare Workers AI's REST API: run a model now or later, and find out which there are."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.errors import Overloaded
from engine.literals import POOLINGS
from engine.serve.batching.models import Served
from engine.serve.batching.request import Vectors, Wish
from engine.serve.dialects.cloudflare_errors import describe
from engine.serve.dialects.cloudflare_validation import (
    check_batch,
    check_item,
    check_option,
    check_run,
)
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Answer, Call, array_to_json, to_json
from engine.serve.service import Service, notes

POOLING = "mean"  # Cloudflare's default, whatever the checkpoint says
ENVELOPE = b'{"result":%b,"success":true,"errors":[],"messages":[]}'


class Cloudflare:
    """The routes below /client/v4, but for the OpenAI ones."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def run(self, call: Call) -> Answer:
        """POST .../ai/run/{model}: vectors now, a batch for later, or the state of a batch."""
        served = self.service.models.find(call.params["model"])
        body = await self.service.json(call)
        if isinstance(body, dict) and "request_id" in body:
            answer = await self._poll(call, body["request_id"])
        elif call.query.get("queueRequest", "").lower() in ("true", "1"):
            answer = await self._submit(call, served, body)
        elif check_run(body) == "requests":
            answer = await self._run_batch(call, served, body)
        else:
            answer = await self._run_one(call, served, body)
        answer.headers.append((b"cf-ai-req-id", call.id.encode()))
        return answer

    async def _run_one(self, call: Call, served: Served, body: dict[str, Any]) -> Answer:
        wish = _wish(body, only_if_idle=check_option(body, "rejectIfBusy"))
        job = await self.service.embed(call, served, _texts(body), wish)
        vectors = job.vectors()
        written = await array_to_json(vectors)
        pooling = wish.pooling.encode()
        result = b'{"shape":[%d,%d],"data":%b,"pooling":"%b"}' % (*vectors.shape, written, pooling)
        return Answer(200, ENVELOPE % result, notes(call, wish))

    async def _run_batch(self, call: Call, served: Served, body: dict[str, Any]) -> Answer:
        """A batch that is not to be queued is answered at once: one job for each pooling."""
        busy = check_option(body, "rejectIfBusy")
        numbered = list(enumerate(check_batch(body)))
        responses: dict[int, dict[str, Any]] = {}
        tokens = 0
        for pooling in POOLINGS:
            items = [(i, item) for i, item in numbered if item.get("pooling", POOLING) == pooling]
            texts = [text for _, item in items for text in _texts(item)]
            if not texts:
                continue
            wish = Wish(pooling=pooling, only_if_idle=busy and not responses)
            job = await self.service.embed(call, served, texts, wish)
            tokens += job.tokens
            rows = iter(job.vectors())
            for i, item in items:
                vectors = np.stack(list(itertools.islice(rows, len(_texts(item)))))
                responses[i] = _response(i, item, _result(vectors, pooling))
        return await _responses([responses[i] for i, _ in numbered], _usage(tokens))

    async def _submit(self, call: Call, served: Served, body: Any) -> Answer:
        if isinstance(body, dict) and "text" in body and "requests" not in body:
            body = {"requests": [body]}
        requests = check_batch(body)
        queue = self._queue()
        call.model, name = served.names[0], call.params["model"]
        request_id = await queue.submit(name, call.params["account"], requests)
        return _success({"status": "queued", "request_id": request_id, "model": name})

    async def _poll(self, call: Call, request_id: Any) -> Answer:
        status = None
        if isinstance(request_id, str):
            status = await self._queue().status(call.params["account"], request_id)
        if status is None:
            raise Problem(
                Kind.UNKNOWN_BATCH,
                f"No such request_id: {str(request_id)[:100]} is unknown to this account, or its "
                f"results, kept {self.service.settings.queue_retention:g} seconds, have expired.",
            )
        call.model = status.model
        if status.state != "done":
            return _success(
                {"status": status.state, "request_id": request_id, "model": status.model}
            )
        return await _responses(status.responses or [], status.usage)

    def _queue(self) -> Any:
        if self.service.queue is None:
            raise Problem(
                Kind.NO_QUEUE,
                "This model does not support request queuing: the server runs with --queue none.",
            )
        return self.service.queue

    async def run_item(self, model: str, item: dict[str, Any]) -> dict[str, Any]:
        """One request of a queued batch, behind the interactive ones. A bad one fails alone.

        Overloaded is raised, for another try; every other problem is the item's answer.
        """
        try:
            served = self.service.models.find(model)
            check_item(item)
            texts = served.prompted(_texts(item))
            job = await served.batcher.embed(texts, _wish(item, background=True))
        except Problem as problem:
            if problem.kind is Kind.OVERLOADED:
                raise Overloaded(problem.message) from None
            _, error = describe(problem)
            return {"success": False, "result": None, "error": error, "prompt_tokens": 0}
        result = _result(job.vectors(), job.wish.pooling)
        return {"success": True, "result": result, "prompt_tokens": job.tokens}

    async def search(self, call: Call) -> Answer:
        """GET .../ai/models/search: the models here, all on the first page."""
        page = call.query.get("page", "1")
        found = [_about(served) for served in self.service.models.all] if page == "1" else []
        wanted = call.query.get("search", "").lower()
        found = [about for about in found if wanted in about["name"].lower()]
        count = {"count": len(found), "page": int(page) if page.isdecimal() else 1}
        info = {**count, "per_page": 50, "total_count": len(self.service.models.all)}
        body = {"result": found, "success": True, "errors": [], "messages": []}
        return Answer(200, to_json({**body, "result_info": info}))

    async def schema(self, call: Call) -> Answer:
        """GET .../ai/models/schema?model=: what a model takes and gives, as JSON Schema."""
        from engine.serve.dialects.schemas import RUN_INPUT, RUN_OUTPUT

        self.service.models.find(call.query.get("model", ""))
        return _success({"input": RUN_INPUT, "output": RUN_OUTPUT})

    async def verify(self, call: Call) -> Answer:
        """GET .../tokens/verify: who got this far has a valid token."""
        told = {"code": 10000, "message": "This API Token is valid and active", "type": None}
        result = {"id": "0" * 32, "status": "active"}
        return Answer(
            200, to_json({"result": result, "success": True, "errors": [], "messages": [told]})
        )


def _texts(request: dict[str, Any]) -> list[str]:
    text = request["text"]
    return [text] if isinstance(text, str) else text


def _wish(request: dict[str, Any], *, only_if_idle: bool = False, background: bool = False) -> Wish:
    pooling = request.get("pooling", POOLING)
    return Wish(pooling, only_if_idle=only_if_idle, background=background)


def _result(vectors: Vectors, pooling: str) -> dict[str, Any]:
    return {"shape": list(vectors.shape), "data": vectors, "pooling": pooling}


def _response(index: int, item: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    reference = item.get("external_reference")
    return {"id": index, "result": result, "success": True, "external_reference": reference}


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}


def _success(result: dict[str, Any]) -> Answer:
    return Answer(200, ENVELOPE % to_json(result))


async def _responses(responses: Sequence[Any], usage: Any) -> Answer:
    written = await array_to_json(responses, step=1)
    return Answer(200, ENVELOPE % (b'{"responses":%b,"usage":%b}' % (written, to_json(usage))))


def _about(served: Served) -> dict[str, Any]:
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
