"""What every dialect needs: the models, the limits, the counts, and one way to get vectors."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.serve.batching.models import Models, Served
from engine.serve.batching.request import Job, Wish
from engine.serve.http.errors import Kind, Problem
from engine.serve.http.messages import Call, Header, parse_json
from engine.serve.http.metrics import Metrics
from engine.serve.settings import Settings

if TYPE_CHECKING:
    from engine.serve.queue.batch_queue import BatchQueue


@dataclass
class Service:
    """Made once at start; `queue` is None where it is switched off."""

    settings: Settings
    models: Models
    metrics: Metrics
    queue: "BatchQueue | None" = None
    held: int = 0  # bytes of the bodies of all requests that are not answered yet

    async def json(self, call: Call) -> Any:
        """The body of a request as a JSON value; from then on its client is watched."""
        limits = self.settings

        def hold(size: int) -> None:
            if self.held + size > limits.max_waiting_bytes:
                told = f"{self.held} bytes of requests wait, of {limits.max_waiting_bytes}."
                raise Problem(Kind.OVERLOADED, told)
            self.held += size
            call.held += size

        body = await call.body(limits.max_body_bytes, limits.read_timeout, hold)
        value = parse_json(body)
        call.watch()
        return value

    async def embed(
        self,
        call: Call,
        served: Served,
        texts: Sequence[str],
        wish: Wish,
        prompt: str | None = None,
    ) -> Job:
        """Computes the texts of a request, counted and noted for the log."""
        call.model = served.names[0]
        call.texts += len(texts)
        self.metrics.asked(len(texts))
        job = await served.batcher.embed(served.prompted(texts, prompt), wish)
        call.tokens += job.tokens
        call.cut += job.cut
        self.metrics.done(job, time.perf_counter() - call.started)
        return job


def notes(call: Call, wish: Wish) -> list[Header]:
    """Said of every answer with vectors: how they were pooled, and how many texts were cut."""
    headers = [(b"x-pooling", wish.pooling.encode())]
    if call.cut:
        headers.append((b"x-truncated-texts", b"%d" % call.cut))
    return headers
