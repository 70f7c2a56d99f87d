"""The API of Hugging Face's text-embeddings-inference. Its routes serve the first model."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from starlette.responses import PlainTextResponse, Response

import engine
from engine.literals import Side
from engine.serve.batching.models import ServedModel
from engine.serve.batching.request import Text, Work, WorkOptions
from engine.serve.dialects import chunking
from engine.serve.dialects.chunking import Chunking
from engine.serve.dialects.dialect import Dialect
from engine.serve.dialects.output_types import converted, output_type
from engine.serve.dialects.schemas import Paths
from engine.serve.dialects.tei import errors, openapi
from engine.serve.dialects.tei.errors import PLAIN
from engine.serve.dialects.tei.tokens import TokenRoutes
from engine.serve.http import validation
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Handler, JSONResponse, Request, array_to_json, to_json
from engine.serve.service import Service, vector_headers

SIDES: dict[str, Side] = {"Left": "left", "left": "left", "Right": "right", "right": "right"}
MAX_NUMBERS = 4_000_000  # in a response of /embed_all; about 50 MB of JSON
EMPTY = "`inputs` cannot be empty"


class TEI(Dialect):
    """The routes at the root, for the first model."""

    name = "tei"
    title = "Hugging Face text-embeddings-inference"

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._tokens = TokenRoutes()

    def owns(self, path: str) -> bool:
        return True

    def routes(self) -> list[tuple[str, str, Handler]]:
        return [
            ("POST", "/", self.root),
            ("POST", "/embed", self.embed),
            ("POST", "/invocations", self.embed),  # Amazon SageMaker's
            ("POST", "/embed_all", self.embed_all),
            ("POST", "/similarity", self.similarity),
            ("POST", "/tokenize", self.tokenize),
            ("POST", "/decode", self.decode),
            ("GET", "/info", self.info),
            ("GET", "/health", self.health),
            ("GET", "/ping", self.health),
            ("GET", "/", self.health),
            ("GET", "/metrics", self.metrics),
        ]

    def error_response(self, error: HTTPError, request: Request) -> Response:
        return errors.error_response(error)

    def openapi_paths(self) -> Paths:
        return openapi.paths(self.service)

    @property
    def _served(self) -> ServedModel:
        return self.service.models.first

    async def root(self, request: Request) -> Response:
        """POST /: as Hugging Face's clients use it, /embed or, for an object, /similarity."""
        body = validation.object_of(await self.service.json(request))
        one = self._similarity if isinstance(body.get("inputs"), dict) else self._embed
        return await one(request, body)

    async def embed(self, request: Request) -> Response:
        """POST /embed: [[0.1, ...], ...]."""
        return await self._embed(request, validation.object_of(await self.service.json(request)))

    async def _embed(self, request: Request, body: dict[str, Any]) -> Response:
        options = self._options(body)
        texts = self._read(body, options)
        normalize, dimensions = validation.flag(body, "normalize", True), self._dimensions(body)
        wanted = output_type(body)
        found = await chunking.compute(
            self.service, request, self._served, texts, options, self._prompt(body),
            Chunking.of(body), normalize=normalize, truncate_dim=dimensions,
        )  # fmt: skip
        rows: Any = converted(found.vectors, wanted)[0]
        if found.places is not None:
            rows = chunking.by_text(rows, found.places)
        return _timed(request, found.work, await array_to_json(rows))

    async def embed_all(self, request: Request) -> Response:
        """POST /embed_all: a vector for each token, not pooled and not normalised."""
        body = validation.object_of(await self.service.json(request))
        options = replace(self._options(body), per_token=True)
        texts, embedder = self._read(body, options), self._served.embedder
        # A text has at most as many tokens as characters, and [CLS] and [SEP].
        tokens = sum(min(len(text) + 2, embedder.max_tokens) for text in texts)
        if tokens * embedder.dim > MAX_NUMBERS:
            raise HTTPError(
                ErrorKind.INVALID,
                f"`inputs` may have {tokens} tokens; a vector for each of at most "
                f"{MAX_NUMBERS // embedder.dim} is returned. Send fewer texts.",
            )
        work = await self._run(request, texts, options, body)
        return _timed(request, work, await array_to_json(work.rows, step=1))

    async def similarity(self, request: Request) -> Response:
        """POST /similarity: the cosine similarity of one sentence to each of the others."""
        body = validation.object_of(await self.service.json(request))
        return await self._similarity(request, body)

    async def _similarity(self, request: Request, body: dict[str, Any]) -> Response:
        inputs = body.get("inputs")
        parameters = validation.given(body, "parameters", {})
        if not isinstance(inputs, dict) or not isinstance(parameters, dict):
            raise HTTPError(
                ErrorKind.INVALID, "`inputs`, and `parameters` if given, must be objects."
            )
        source = validation.text(inputs, "source_sentence")
        if source is None:
            raise HTTPError(
                ErrorKind.INVALID, "`inputs.source_sentence` is missing; give a string."
            )
        if not isinstance(inputs.get("sentences"), list):
            given = inputs.get("sentences")
            raise validation.wrong("inputs.sentences", given, "an array of strings")
        sentences = validation.strings(inputs["sentences"], "inputs.sentences")
        if not sentences:
            raise HTTPError(ErrorKind.EMPTY, "`inputs.sentences` cannot be empty")
        texts = self._checked([source, *sentences])
        work = await self._run(request, texts, self._options(parameters), parameters)
        vectors = work.vectors()  # of unit length
        return _timed(request, work, to_json(vectors[1:] @ vectors[0]))

    async def tokenize(self, request: Request) -> Response:
        """POST /tokenize: the tokens of each text with their offsets, without truncation."""
        body = validation.object_of(await self.service.json(request))
        texts = self._served.prompted(self._inputs(body), self._prompt(body))
        special = validation.flag(body, "add_special_tokens", True)
        return JSONResponse(await self._tokens.tokenize(self._served, texts, special))

    async def decode(self, request: Request) -> Response:
        """POST /decode: the text of token ids, of one text or of several."""
        body = validation.object_of(await self.service.json(request))
        ids = self._checked(validation.ids(body.get("ids"), "ids"))
        special = validation.flag(body, "skip_special_tokens", True)
        return JSONResponse(await self._tokens.decode(self._served, ids, special))

    async def info(self, request: Request) -> Response:
        """GET /info: the first model and the limits, as TEI has them, and all models."""
        embedder, settings = self._served.embedder, self.service.settings
        info = {
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
            "models": [one.about for one in self.service.models.all],
            "version": engine.__version__,
            "sha": None,
            "docker_label": None,
        }
        return JSONResponse(info)

    async def health(self, request: Request) -> Response:
        """GET /health: an empty 200; the server listens only when its models are loaded."""
        return PlainTextResponse(b"", media_type=PLAIN)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: Prometheus' text format."""
        text = await asyncio.to_thread(self.service.metrics.text)  # milliseconds
        return PlainTextResponse(text, media_type=PLAIN)

    async def _run(
        self, request: Request, texts: list[Text], options: WorkOptions, body: dict[str, Any]
    ) -> Work:
        return await self.service.embed(request, self._served, texts, options, self._prompt(body))

    def _inputs(self, body: dict[str, Any]) -> list[str]:
        return self._checked(validation.strings(body.get("inputs"), "inputs"))

    def _read(self, body: dict[str, Any], options: WorkOptions) -> list[Text]:
        """Texts, or token ids of this model, special tokens included."""
        given = self._checked(validation.texts_or_ids(body.get("inputs"), "inputs"))
        return self._served.read(given, truncate=options.truncate)

    def _checked(self, texts: list[Any]) -> list[Any]:
        if not texts:
            raise HTTPError(ErrorKind.EMPTY, EMPTY)
        limit = self.service.settings.max_client_batch_size
        if len(texts) > limit:
            message = f"batch size {len(texts)} > maximum allowed batch size {limit}"
            raise HTTPError(ErrorKind.INVALID, message)
        if not all(texts):
            raise HTTPError(ErrorKind.EMPTY, f"Input validation error: {EMPTY}")
        return texts

    def _prompt(self, body: dict[str, Any]) -> str | None:
        """The prompt named by the request, or None."""
        return self._served.prompt_named(validation.text(body, "prompt_name"))

    def _options(self, body: dict[str, Any]) -> WorkOptions:
        side = SIDES[validation.choice(body, "truncation_direction", tuple(SIDES), "Right")]
        cut = validation.flag(body, "truncate", True)
        return WorkOptions(
            pooling=self._served.embedder.pooling, truncation_side=side, truncate=cut
        )

    def _dimensions(self, body: dict[str, Any]) -> int | None:
        value = validation.whole_number(body, "dimensions")
        if value is not None and value < 1:
            raise HTTPError(ErrorKind.INVALID, "`dimensions` should be positive")
        if value is not None and value > self._served.embedder.dim:
            message = "`dimensions` should be smaller than the maximum embedding dimension."
            raise HTTPError(ErrorKind.INVALID, message)
        return value


def _timed(request: Request, work: Work, body: bytes) -> Response:
    """A response with TEI's timings, in milliseconds."""
    spans = {
        "total": time.perf_counter() - request.started,
        "tokenization": work.tokenised - work.accepted,
        "queue": max(0.0, work.began - work.tokenised),
        "inference": work.ended - work.began,
    }
    headers = {f"x-{name}-time": str(round(1000 * span)) for name, span in spans.items()}
    headers["x-compute-time"] = headers["x-total-time"]
    headers["x-compute-type"] = "cpu"
    headers["x-compute-tokens"] = str(work.tokens)
    return JSONResponse(body, headers=headers | vector_headers(request, work.options))
