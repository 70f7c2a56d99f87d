"""What every dialect needs: the models, the limits, the metrics, and one way to get vectors."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.serve.batching.models import Models, ServedModel
from engine.serve.batching.request import Text, Work, WorkOptions
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.http.messages import Request, decompressed, parse_json
from engine.serve.http.metrics import Metrics
from engine.serve.settings import NO_QUEUE, Settings

if TYPE_CHECKING:
    from engine.serve.http.spans import Tracer
    from engine.serve.queue.batch_queue import BatchQueue


@dataclass
class Service:
    """Created once at start; `queue` is None with --queue none, and until its database opens."""

    settings: Settings
    models: Models
    metrics: Metrics
    queue: "BatchQueue | None" = None
    tracer: "Tracer | None" = None
    body_bytes: int = 0  # of the bodies of all requests in progress

    @property
    def has_queue(self) -> bool:
        """Whether there is a batch queue, even if its database cannot be used yet."""
        return self.settings.queue != NO_QUEUE

    async def json(self, request: Request) -> Any:
        """The body of a request as a JSON value. From then on a disconnect cancels the request."""
        settings = self.settings

        def reserve(size: int) -> None:
            if self.body_bytes + size > settings.max_waiting_bytes:
                raise HTTPError(
                    ErrorKind.OVERLOADED,
                    f"{self.body_bytes} of {settings.max_waiting_bytes} bytes of request bodies "
                    "are in use. Retry later.",
                )
            self.body_bytes += size
            request.body_bytes += size

        body = await request.read_body(settings.max_body_bytes, settings.read_timeout, reserve)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        if encoding:
            body = decompressed(body, encoding, settings.max_body_bytes)
            reserve(len(body))
        value = parse_json(body)
        request.cancel_on_disconnect()
        return value

    def release_body(self, request: Request) -> None:
        """The body of the request is no longer in memory."""
        self.body_bytes -= request.body_bytes
        request.body_bytes = 0

    async def embed(
        self,
        request: Request,
        served: ServedModel,
        texts: Sequence[Text],
        options: WorkOptions,
        prompt: str | None = None,
    ) -> Work:
        """Computes the texts of a request, and records them for the metrics and the log."""
        request.model = served.names[0]
        request.texts += len(texts)
        metrics = self.metrics.models[request.model]
        metrics.requested(len(texts))
        work = await served.batcher.embed(served.prompted(texts, prompt), options)
        request.tokens += work.tokens
        request.truncated += work.truncated
        request.stages.append(work.times)
        metrics.succeeded(work, time.perf_counter() - request.started)
        return work


def vector_headers(request: Request, options: WorkOptions) -> dict[str, str]:
    """Headers of every response with vectors: the pooling, and how many texts were truncated."""
    headers = {"x-pooling": options.pooling}
    if request.truncated:
        headers["x-truncated-texts"] = str(request.truncated)
    return headers
