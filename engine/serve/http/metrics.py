"""Prometheus metrics: under the names of text-embeddings-inference what it counts too, so that its
dashboards show this server; the rest as bge_*, and the process's own as everywhere.

TEI's names have no labels of models; sums over what has one are what TEI shows.
"""

import platform
import re
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

import engine
from engine.serve.batching.request import Work
from engine.serve.http.errors import ErrorKind

SECONDS = [1.5e-5 * 1.5**i for i in range(35)]
REQUEST_TOKENS = [float(2**i) for i in range(14)]
BATCH_TEXTS = [float(2**i) for i in range(13)]
BATCH_TOKENS = [float(2**i) for i in range(21)]
METHODS = ("single", "batch")
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
    """What the service has done since its start; `models` has what each has done. Thread-safe."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self.models: dict[str, ModelMetrics] = {}
        ProcessCollector(registry=registry)
        versions = {"version": engine.__version__, "python": platform.python_version()}
        Info("bge_build", "Versions", registry=registry).info(versions)
        self._model = Info("bge_model", "Models served", ["model"], registry=registry)
        self.requests = self._counter("te_request_count", "Requests for vectors", "method")
        self.successes = self._counter("te_request_success", "Successful requests", "method")
        self._failures = Counter(
            "te_request_failure", "Rejected or failed requests", ["err"], registry=registry
        )
        self.texts = self._counter("te_embed_count", "Texts requested")
        self.embedded = self._counter("te_embed_success", "Texts computed")
        self.truncated = self._counter("bge_truncated_texts", "Texts that were cut to the limit")
        self.durations = [
            self._histogram(f"te_{what}{stage}_duration", f"{about}, in seconds", SECONDS)
            for what in ("request", "embed")
            for stage, about in STAGES.items()
        ]
        histogram = self._histogram
        self.tokens = histogram("te_request_input_length", "Tokens per request", REQUEST_TOKENS)
        self.batch_texts = histogram("te_batch_next_size", "Texts per batch", BATCH_TEXTS)
        self.batch_tokens = histogram("te_batch_next_tokens", "Tokens per batch", BATCH_TOKENS)
        self._queued = Gauge("te_queue_size", "Queued texts", ["model"], registry=registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(name, about, ["model", *labels], registry=self._registry)

    def _histogram(self, name: str, about: str, buckets: list[float]) -> Histogram:
        return Histogram(name, about, ["model"], buckets=buckets, registry=self._registry)

    def add_model(
        self, model: str, precision: str, threads: int, queued: Callable[[], int]
    ) -> "ModelMetrics":
        """A model is served; `queued()` is the number of its queued texts."""
        self._model.labels(model).info({"precision": precision, "threads": str(threads)})
        self._queued.labels(model).set_function(queued)
        self.models[model] = ModelMetrics(self, model)
        return self.models[model]

    def watch_queue(self, waiting: Callable[[], Mapping[str, int] | None]) -> None:
        """The batch queue, where there is one: `waiting()` is the number of its unfinished requests
        by state, or None while its database cannot be used. It must not block."""
        self._registry.register(_BatchQueue(waiting))

    def failed(self, kind: ErrorKind) -> None:
        """A request got an error response; kinds that TEI does not count are ignored."""
        if kind in FAILURES:
            self._failures.labels(FAILURES[kind]).inc()

    def dropped(self) -> None:
        """The client disconnected before the response."""
        self._failures.labels("dropped").inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return TOTAL.sub(rb"\1", generate_latest(self._registry))


class ModelMetrics:
    """What one model has done. Its series begin at 0, so that their rates are right at once."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._requests = [metrics.requests.labels(model, method) for method in METHODS]
        self._successes = [metrics.successes.labels(model, method) for method in METHODS]
        self._texts = metrics.texts.labels(model)
        self._embedded = metrics.embedded.labels(model)
        self._truncated = metrics.truncated.labels(model)
        self._durations = [histogram.labels(model) for histogram in metrics.durations]
        self._tokens = metrics.tokens.labels(model)
        self._batch_texts = metrics.batch_texts.labels(model)
        self._batch_tokens = metrics.batch_tokens.labels(model)

    def requested(self, texts: int) -> None:
        """A request for the vectors of so many texts has arrived."""
        self._requests[texts > 1].inc()
        self._texts.inc(texts)

    def succeeded(self, work: Work, seconds: float) -> None:
        """The work was computed, `seconds` after the request arrived."""
        self._successes[len(work.rows) > 1].inc()
        self._embedded.inc(len(work.rows))
        self._truncated.inc(work.truncated)
        self._tokens.observe(work.tokens)
        queued = max(0.0, work.began - work.tokenised)
        stages = (seconds, work.tokenised - work.accepted, queued, work.ended - work.began)
        for histogram, value in zip(self._durations, stages * 2, strict=True):
            histogram.observe(value)

    def batch(self, texts: int, tokens: int) -> None:
        """The model has computed a batch."""
        self._batch_texts.observe(texts)
        self._batch_tokens.observe(tokens)


class _BatchQueue(Collector):
    """Whether the batch queue's database can be used; while it can, what waits there."""

    def __init__(self, waiting: Callable[[], Mapping[str, int] | None]) -> None:
        self._waiting = waiting

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting = self._waiting()
        about = "1 if the batch queue's database can be used, else 0"
        yield GaugeMetricFamily("bge_batch_queue_up", about, value=float(waiting is not None))
        about = "Unfinished requests in the database, which all its servers see: do not sum"
        states = GaugeMetricFamily("bge_batch_queue_requests", about, labels=["state"])
        for state, requests in (waiting or {}).items():
            states.add_metric([state], requests)
        yield states
