"""Counts for Prometheus, under the names of text-embeddings-inference.

All of it happens on the event loop, so counting takes no lock: a histogram here is a bisection and
two additions, and prometheus-client sees it only when somebody asks.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from engine.serve.batching.request import Job
from engine.serve.http.errors import Kind

DURATIONS = tuple(1.5e-5 * 1.5**i for i in range(35))  # seconds
LENGTHS = tuple(float(2**i) for i in range(14))
SIZES = tuple(float(2**i) for i in range(13))
BATCH_TOKENS = tuple(float(2**i) for i in range(21))

FAILURES = {
    Kind.OVERLOADED: "overloaded",
    Kind.TOO_LONG: "validation",
    Kind.INVALID: "validation",
    Kind.EMPTY: "validation",
    Kind.BACKEND: "inference",
    Kind.INTERNAL: "inference",
}


class Histogram:
    """Counts by upper bound; `bounds` ascend."""

    def __init__(self, help_: str, bounds: tuple[float, ...]) -> None:
        self.help, self.bounds = help_, bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def family(self, name: str) -> HistogramMetricFamily:
        buckets, total = [], 0
        for bound, count in zip([*map(repr, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(name, self.help, buckets=buckets, sum_value=self.sum)


class Metrics(Collector):
    """What the service has done since its start; `queued` tells how many texts wait now."""

    def __init__(self, queued: Callable[[], int]) -> None:
        self._queued = queued
        self.requests: Counter[str] = Counter()
        self.successes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.texts = self.embedded = 0
        stages = {
            "": "A request",
            "_tokenization": "Tokenising",
            "_queue": "Waiting",
            "_inference": "Computing",
        }
        self.durations = {
            f"te_{what}{stage}_duration": Histogram(f"{help_}, in seconds", DURATIONS)
            for what in ("request", "embed")
            for stage, help_ in stages.items()
        }
        self.lengths = Histogram("Tokens of a request", LENGTHS)
        self.batch_sizes = Histogram("Texts of a batch", SIZES)
        self.batch_tokens = Histogram("Tokens of a batch", BATCH_TOKENS)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def asked(self, texts: int) -> None:
        """A request for vectors came in."""
        self.requests["single" if texts == 1 else "batch"] += 1
        self.texts += texts

    def done(self, job: Job, seconds: float) -> None:
        """It was computed, `seconds` after its arrival."""
        self.successes["single" if len(job.rows) == 1 else "batch"] += 1
        self.embedded += len(job.rows)
        self.lengths.observe(job.tokens)
        queued = max(0.0, job.began - job.tokenised)
        stages = (seconds, job.tokenised - job.accepted, queued, job.ended - job.began)
        for histogram, value in zip(self.durations.values(), stages * 2, strict=True):
            histogram.observe(value)

    def failed(self, kind: Kind) -> None:
        if kind in FAILURES:
            self.failures[FAILURES[kind]] += 1

    def unread(self) -> None:
        """A request was refused by its head: whether it held one text or many is not known."""
        self.requests["unread"] += 1

    def dropped(self) -> None:
        """The client left before its answer."""
        self.failures["dropped"] += 1

    def batch(self, texts: int, tokens: int) -> None:
        self.batch_sizes.observe(texts)
        self.batch_tokens.observe(tokens)

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client."""
        yield _counter("te_request_count", "Requests for vectors", "method", self.requests)
        yield _counter("te_request_success", "Requests answered", "method", self.successes)
        yield _counter("te_request_failure", "Requests refused or failed", "err", self.failures)
        yield CounterMetricFamily("te_embed_count", "Texts asked for", value=self.texts)
        yield CounterMetricFamily("te_embed_success", "Texts computed", value=self.embedded)
        for name, histogram in self.durations.items():
            yield histogram.family(name)
        yield self.lengths.family("te_request_input_length")
        yield self.batch_sizes.family("te_batch_next_size")
        yield self.batch_tokens.family("te_batch_next_tokens")
        yield GaugeMetricFamily("te_queue_size", "Texts that wait", value=self._queued())

    def text(self) -> bytes:
        """In Prometheus' text format; the library ends counters in _total, where TEI does not."""
        return generate_latest(self._registry).replace(b"_total", b"")


def _counter(name: str, help_: str, label: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
