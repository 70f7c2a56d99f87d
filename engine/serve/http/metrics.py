"""Prometheus metrics under the names of text-embeddings-inference."""

import re
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from engine.serve.batching.request import Work
from engine.serve.http.errors import ErrorKind

SECONDS = [1.5e-5 * 1.5**i for i in range(35)]
REQUEST_TOKENS = [float(2**i) for i in range(14)]
BATCH_TEXTS = [float(2**i) for i in range(13)]
BATCH_TOKENS = [float(2**i) for i in range(21)]
STAGES = {
    "": "Whole request",
    "_tokenization": "Tokenisation",
    "_queue": "Waiting in the queue",
    "_inference": "Computing",
}
FAILURES = {
    ErrorKind.OVERLOADED: "overloaded",
    ErrorKind.TOO_LONG: "validation",
    ErrorKind.INVALID: "validation",
    ErrorKind.EMPTY: "validation",
    ErrorKind.BACKEND: "inference",
    ErrorKind.INTERNAL: "inference",
}
# prometheus-client ends the names of counters with _total; TEI does not.
TOTAL = re.compile(rb"^((?:# (?:HELP|TYPE) )?te_\w+)_total\b", re.MULTILINE)


class Metrics:
    """What the service has done since its start; `queued()` is the number of queued texts."""

    def __init__(self, queued: Callable[[], int]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "te_request_count", "Requests for vectors", ["method"], registry=registry
        )
        self._successes = Counter(
            "te_request_success", "Successful requests", ["method"], registry=registry
        )
        self._failures = Counter(
            "te_request_failure", "Rejected or failed requests", ["err"], registry=registry
        )
        self._texts = Counter("te_embed_count", "Texts requested", registry=registry)
        self._embedded = Counter("te_embed_success", "Texts computed", registry=registry)
        self._durations = [
            self._histogram(f"te_{what}{stage}_duration", f"{about}, in seconds", SECONDS)
            for what in ("request", "embed")
            for stage, about in STAGES.items()
        ]
        histogram = self._histogram
        self._tokens = histogram("te_request_input_length", "Tokens per request", REQUEST_TOKENS)
        self._batch_texts = histogram("te_batch_next_size", "Texts per batch", BATCH_TEXTS)
        self._batch_tokens = histogram("te_batch_next_tokens", "Tokens per batch", BATCH_TOKENS)
        Gauge("te_queue_size", "Queued texts", registry=registry).set_function(queued)

    def _histogram(self, name: str, about: str, buckets: list[float]) -> Histogram:
        return Histogram(name, about, buckets=buckets, registry=self._registry)

    def watch_queue(self, is_open: Callable[[], bool]) -> None:
        """Whether the batch queue accepts batches, where there is one."""
        about = "1 if the batch queue's database can be used, else 0"
        Gauge("bge_batch_queue_up", about, registry=self._registry).set_function(is_open)

    def requested(self, texts: int) -> None:
        """A request for the vectors of so many texts has arrived."""
        self._requests.labels("single" if texts == 1 else "batch").inc()
        self._texts.inc(texts)

    def succeeded(self, work: Work, seconds: float) -> None:
        """The work was computed, `seconds` after the request arrived."""
        self._successes.labels("single" if len(work.rows) == 1 else "batch").inc()
        self._embedded.inc(len(work.rows))
        self._tokens.observe(work.tokens)
        queued = max(0.0, work.began - work.tokenised)
        stages = (seconds, work.tokenised - work.accepted, queued, work.ended - work.began)
        for histogram, value in zip(self._durations, stages * 2, strict=True):
            histogram.observe(value)

    def failed(self, kind: ErrorKind) -> None:
        """A request got an error response; kinds that TEI does not count are ignored."""
        if kind in FAILURES:
            self._failures.labels(FAILURES[kind]).inc()

    def dropped(self) -> None:
        """The client disconnected before the response."""
        self._failures.labels("dropped").inc()

    def batch(self, texts: int, tokens: int) -> None:
        """The model has computed a batch."""
        self._batch_texts.observe(texts)
        self._batch_tokens.observe(tokens)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return TOTAL.sub(rb"\1", generate_latest(self._registry))
