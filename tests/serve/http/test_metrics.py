"""What is counted, and under which names."""

import asyncio

import numpy as np

from engine.serve.batching.request import Work, WorkOptions
from engine.serve.http.errors import ErrorKind
from engine.serve.http.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.text().decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def finished(texts: int) -> Work:
    work = Work(["a"] * texts, WorkOptions("mean"), asyncio.Future(loop=asyncio.new_event_loop()))
    for item in work.items:
        item.cost = 5
    work.accepted, work.tokenised, work.began, work.ended = 10.0, 10.5, 12.5, 13.5
    work.rows = [np.zeros(3, np.float32)] * texts
    return work


def test_names_are_those_of_text_embeddings_inference() -> None:
    metrics = Metrics(lambda: 0)
    metrics.failed(ErrorKind.OVERLOADED)
    text = metrics.text().decode()
    assert "# TYPE te_request_failure counter\n" in text
    assert "_total" not in text and "_created" not in text


def test_requests_texts_and_stages() -> None:
    metrics = Metrics(lambda: 7)
    metrics.requested(1)
    metrics.requested(3)
    metrics.succeeded(finished(3), seconds=4.0)
    metrics.batch(3, 15)
    found = samples(metrics)
    assert found['te_request_count{method="single"}'] == 1
    assert found['te_request_count{method="batch"}'] == 1
    assert found['te_request_success{method="batch"}'] == 1
    assert (found["te_embed_count"], found["te_embed_success"]) == (4, 3)
    assert found["te_queue_size"] == 7
    for name, seconds in (("", 4.0), ("_tokenization", 0.5), ("_queue", 2.0), ("_inference", 1.0)):
        assert found[f"te_request{name}_duration_sum"] == seconds
        assert found[f"te_embed{name}_duration_count"] == 1
    assert found["te_request_input_length_sum"] == 15
    assert (found["te_batch_next_size_sum"], found["te_batch_next_tokens_sum"]) == (3, 15)


def test_failures_by_cause() -> None:
    metrics = Metrics(lambda: 0)
    for kind in (
        ErrorKind.OVERLOADED,
        ErrorKind.TOO_LONG,
        ErrorKind.INVALID,
        ErrorKind.EMPTY,
        ErrorKind.BACKEND,
    ):
        metrics.failed(kind)
    metrics.failed(ErrorKind.NO_ROUTE)  # not a request for vectors
    metrics.failed(ErrorKind.INTERNAL)
    metrics.dropped()
    found = samples(metrics)
    causes = {"overloaded": 1, "validation": 3, "inference": 2, "dropped": 1}
    assert {c: found[f'te_request_failure{{err="{c}"}}'] for c in causes} == causes
    assert sum(value for name, value in found.items() if "te_request_failure" in name) == 7
