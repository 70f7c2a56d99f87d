"""What is counted, under which name."""

import asyncio

import numpy as np

from engine.serve.batching.request import Job, Wish
from engine.serve.http.errors import Kind
from engine.serve.http.metrics import Histogram, Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.text().decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def finished(texts: int) -> Job:
    job = Job(["a"] * texts, Wish(), asyncio.Future(loop=asyncio.new_event_loop()))
    for entry in job.entries:
        entry.cost = 5
    job.accepted, job.tokenised, job.began, job.ended = 10.0, 10.5, 12.5, 13.5
    job.rows = [np.zeros(3, np.float32)] * texts
    return job


def test_a_histogram_counts_up_to_its_bounds() -> None:
    histogram = Histogram("help", (1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 7.0):
        histogram.observe(value)
    found = {s.labels.get("le"): s.value for s in histogram.family("h").samples if s.labels}
    assert found == {"1.0": 2, "2.0": 4, "+Inf": 5}
    assert histogram.sum == 12.0


def test_requests_texts_and_stages() -> None:
    metrics = Metrics(lambda: 7)
    metrics.asked(1)
    metrics.asked(3)
    metrics.unread()
    metrics.done(finished(3), seconds=4.0)
    metrics.batch(3, 15)
    found = samples(metrics)
    assert found['te_request_count{method="single"}'] == 1
    assert found['te_request_count{method="batch"}'] == 1
    assert found['te_request_count{method="unread"}'] == 1
    assert found['te_request_success{method="batch"}'] == 1
    assert (found["te_embed_count"], found["te_embed_success"]) == (4, 3)
    assert found["te_queue_size"] == 7
    for name, seconds in (("", 4.0), ("_tokenization", 0.5), ("_queue", 2.0), ("_inference", 1.0)):
        assert found[f"te_request{name}_duration_sum"] == seconds
        assert found[f"te_embed{name}_duration_count"] == 1
    assert found["te_request_input_length_sum"] == 15
    assert (found["te_batch_next_size_sum"], found["te_batch_next_tokens_sum"]) == (3, 15)


def test_failures_by_their_cause() -> None:
    metrics = Metrics(lambda: 0)
    for kind in (Kind.OVERLOADED, Kind.TOO_LONG, Kind.INVALID, Kind.EMPTY, Kind.BACKEND):
        metrics.failed(kind)
    metrics.failed(Kind.NO_ROUTE)  # not a request for vectors
    metrics.failed(Kind.INTERNAL)
    metrics.dropped()
    found = samples(metrics)
    causes = {"overloaded": 1, "validation": 3, "inference": 2, "dropped": 1}
    assert {c: found[f'te_request_failure{{err="{c}"}}'] for c in causes} == causes
    assert sum(value for name, value in found.items() if "te_request_failure" in name) == 7
