"""The API of text-embeddings-inference: routes without a model's name, for the first model."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import engine
from engine.literals import Side
from engine.serve.batching.models import Served
from engine.serve.batching.request import Job, Wish
from engine.serve.http import validation
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Answer, Call, Header, array_to_json, to_json
from engine.serve.service import Service, notes

SIDES: dict[str, Side] = {"Left": "left", "left": "left", "Right": "right", "right": "right"}
MAX_TOKENIZED = 1_000_000  # characters to /tokenize, which tells some 100 bytes of each token
TEXT = b"text/plain; version=0.0.4; charset=utf-8"
EMPTY = "`inputs` cannot be empty"

ERRORS = {
    Kind.NO_ROUTE: (404, "Validation"),
    Kind.NO_METHOD: (405, "Validation"),
    Kind.NO_BODY: (400, "Validation"),
    Kind.NOT_JSON: (400, "Validation"),
    Kind.BODY_TOO_LARGE: (413, "Validation"),
    Kind.EMPTY: (400, "Empty"),
    Kind.TIMEOUT: (408, "Backend"),
    Kind.OVERLOADED: (429, "Overloaded"),
    Kind.BACKEND: (424, "Backend"),
    Kind.INTERNAL: (500, "Backend"),
}
WORDS = {
    Kind.NOT_JSON: "Failed to parse the request body as JSON: {}",
    Kind.NO_BODY: "Failed to parse the request body as JSON: {}",
    Kind.BODY_TOO_LARGE: "Failed to buffer the request body: length limit exceeded. {}",
    Kind.OVERLOADED: "Model is overloaded",
    Kind.TOO_LONG: "Input validation error: {}",
}


class TEI:
    """The routes at the root."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._details = asyncio.Semaphore(2)  # of /tokenize at once

    @property
    def _served(self) -> Served:
        return self.service.models.first

    async def embed(self, call: Call) -> Answer:
        """POST /embed: [[0.1, ...], ...]."""
        body = validation.object_of(await self.service.json(call))
        texts, wish = self._inputs(body), self._wish(body)
        normalize, dimensions = validation.flag(body, "normalize", True), self._dimensions(body)
        job = await self._run(call, texts, wish, body)
        vectors = job.vectors(normalize=normalize, truncate_dim=dimensions)
        return _timed(call, job, await array_to_json(vectors))

    async def embed_all(self, call: Call) -> Answer:
        """POST /embed_all: a vector for each token, neither pooled nor normalised."""
        body = validation.object_of(await self.service.json(call))
        texts, wish = self._inputs(body), replace(self._wish(body), per_token=True)
        job = await self._run(call, texts, wish, body)
        return _timed(call, job, await array_to_json(job.rows, step=1))

    async def similarity(self, call: Call) -> Answer:
        """POST /similarity: the cosine of one sentence with each of the others."""
        body = validation.object_of(await self.service.json(call))
        inputs = body.get("inputs")
        parameters = validation.given(body, "parameters", {})
        if not isinstance(inputs, dict) or not isinstance(parameters, dict):
            raise Problem(Kind.INVALID, "`inputs`, and `parameters` if given, must be objects.")
        source = validation.text(inputs, "source_sentence")
        if source is None:
            raise Problem(Kind.INVALID, "`inputs.source_sentence` is missing; give a string.")
        if not isinstance(inputs.get("sentences"), list):
            given = inputs.get("sentences")
            raise validation.wrong("inputs.sentences", given, "an array of strings")
        sentences = validation.strings(inputs["sentences"], "inputs.sentences")
        if not sentences:
            raise Problem(Kind.EMPTY, "`inputs.sentences` cannot be empty")
        texts = self._checked([source, *sentences])
        job = await self._run(call, texts, self._wish(parameters), parameters)
        vectors = job.vectors()  # of unit length
        return _timed(call, job, to_json(vectors[1:] @ vectors[0]))

    async def tokenize(self, call: Call) -> Answer:
        """POST /tokenize: the tokens of each text and their places in it; nothing is cut."""
        body = validation.object_of(await self.service.json(call))
        texts = self._served.prompted(self._inputs(body), self._prompt(body))
        special = validation.flag(body, "add_special_tokens", True)
        size = sum(map(len, texts))
        if size > MAX_TOKENIZED:
            told = f"`inputs` has {size} characters; at most {MAX_TOKENIZED} are taken here."
            raise Problem(Kind.INVALID, told)
        async with self._details:
            return Answer(200, await asyncio.to_thread(self._token_details, texts, special))

    def _token_details(self, texts: Sequence[str], special: bool) -> bytes:
        found = self._served.embedder.token_details(texts, add_special_tokens=special)
        return to_json([[_token(token) for token in text] for text in found])

    async def info(self, call: Call) -> Answer:
        """GET /info: the model and the limits."""
        embedder, settings = self._served.embedder, self.service.settings
        told = {
            "model_id": self._served.hub_name,
            "model_sha": embedder.revision,
            "model_dtype": embedder.precision,
            "served_model_name": self._served.names[0],
            "model_type": {"embedding": {"pooling": embedder.pooling}},
            "max_concurrent_requests": settings.max_waiting_texts,
            "max_input_length": embedder.max_tokens,
            "max_batch_tokens": settings.max_batch_tokens,
            "max_batch_requests": None,
            "max_client_batch_size": settings.max_client_batch_size,
            "auto_truncate": True,
            "tokenization_workers": 2,
            "version": engine.__version__,
            "sha": None,
            "docker_label": None,
        }
        return Answer(200, to_json(told))

    async def health(self, call: Call) -> Answer:
        """GET /health: empty and 200, as the server listens only when its models are warm."""
        return Answer(200, b"", content_type=TEXT)

    async def metrics(self, call: Call) -> Answer:
        """GET /metrics."""
        return Answer(200, self.service.metrics.text(), content_type=TEXT)

    async def _run(self, call: Call, texts: list[str], wish: Wish, body: dict[str, Any]) -> Job:
        return await self.service.embed(call, self._served, texts, wish, self._prompt(body))

    def _inputs(self, body: dict[str, Any]) -> list[str]:
        return self._checked(_texts(body.get("inputs")))

    def _checked(self, texts: list[str]) -> list[str]:
        if not texts:
            raise Problem(Kind.EMPTY, EMPTY)
        limit = self.service.settings.max_client_batch_size
        if len(texts) > limit:
            told = f"batch size {len(texts)} > maximum allowed batch size {limit}"
            raise Problem(Kind.INVALID, told)
        if "" in texts:
            raise Problem(Kind.EMPTY, f"Input validation error: {EMPTY}")
        return texts

    def _prompt(self, body: dict[str, Any]) -> str | None:
        """The prompt that the request names."""
        name = validation.text(body, "prompt_name")
        prompts = self._served.embedder.prompts
        if name is not None and name not in prompts:
            told = f"`prompt_name` is {validation.shown(name)}, which is not among the prompts: "
            raise Problem(Kind.INVALID, told + (", ".join(prompts) or "this model has none"))
        return prompts[name] if name is not None else None

    def _wish(self, body: dict[str, Any]) -> Wish:
        side = SIDES[validation.choice(body, "truncation_direction", tuple(SIDES), "Right")]
        cut = validation.flag(body, "truncate", True)
        return Wish(pooling=self._served.embedder.pooling, side=side, cut=cut)

    def _dimensions(self, body: dict[str, Any]) -> int | None:
        value = validation.whole_number(body, "dimensions")
        if value is not None and value < 1:
            raise Problem(Kind.INVALID, "`dimensions` should be positive")
        if value is not None and value > self._served.embedder.dim:
            told = "`dimensions` should be smaller than the maximum embedding dimension."
            raise Problem(Kind.INVALID, told)
        return value


def _texts(inputs: Any) -> list[str]:
    if isinstance(inputs, list) and inputs and all(isinstance(each, int | list) for each in inputs):
        raise Problem(Kind.INVALID, "`inputs` holds token ids; this server takes text.")
    return validation.strings(inputs, "inputs")


def _token(token: Any) -> dict[str, Any]:
    return {name: getattr(token, name) for name in ("id", "text", "special", "start", "stop")}


def _timed(call: Call, job: Job, body: bytes) -> Answer:
    """With TEI's timings, in milliseconds."""
    spans = {
        b"x-total-time": time.perf_counter() - call.started,
        b"x-tokenization-time": job.tokenised - job.accepted,
        b"x-queue-time": max(0.0, job.began - job.tokenised),
        b"x-inference-time": job.ended - job.began,
    }
    headers: list[Header] = [(name, b"%d" % round(1000 * span)) for name, span in spans.items()]
    headers.append((b"x-compute-time", headers[0][1]))
    headers.append((b"x-compute-type", b"cpu"))
    headers.append((b"x-compute-tokens", b"%d" % job.tokens))
    return Answer(200, body, headers + notes(call, job.wish))


def refusal(problem: Problem, call: Call) -> Answer:
    """{"error", "error_type"}; a missing or wrong token gets a bare 401."""
    if problem.kind in (Kind.NO_TOKEN, Kind.MALFORMED_TOKEN, Kind.WRONG_TOKEN):
        return Answer(401, b"", content_type=TEXT)
    status, type_ = ERRORS.get(problem.kind, (422, "Validation"))
    message = WORDS.get(problem.kind, "{}").format(problem.message)
    return Answer(status, to_json({"error": message, "error_type": type_}))
