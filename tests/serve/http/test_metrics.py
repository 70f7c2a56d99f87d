"""What is counted, and under which names."""

import asyncio
import platform
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

import engine
from engine.serve.batching.request import Work, WorkOptions
from engine.serve.http.errors import ErrorKind
from engine.serve.http.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    lines = metrics.text().decode().splitlines()
    rows = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in rows}


def served(*models: str, queued: int = 0) -> Metrics:
    metrics = Metrics()
    for model in models:
        metrics.add_model(model, "int8", 2, lambda: queued)
    return metrics


def finished(texts: int, cut: int = 0) -> Work:
    work = Work(["a"] * texts, WorkOptions("mean"), asyncio.Future(loop=asyncio.new_event_loop()))
    for i, item in enumerate(work.items):
        item.cost, item.tokens = 5, SimpleNamespace(cut=i < cut)
    work.accepted, work.tokenised, work.began, work.ended = 10.0, 10.5, 12.5, 13.5
    work.rows = [np.zeros(3, np.float32)] * texts
    return work


def lint(text: str) -> set[tuple[str, str]]:
    """The names that break Prometheus' rules, and how: those of `promtool check metrics`."""
    found = set()
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        summed = kind in ("histogram", "summary")
        words = name.split("_")
        checks = {
            "no help": name not in helps,
            "counter without _total": kind == "counter" and words[-1] != "total",
            "_total without counter": kind != "counter" and words[-1] == "total",
            "reserved": not summed and words[-1] in ("count", "sum", "bucket"),
            "kind in the name": bool({"counter", "gauge", "histogram", "summary"} & {*words}),
            "unit": bool(
                {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "m", "h"} & {*words}
            ),
            "base unit": bool({"milliseconds", "minutes", "hours", "kilobytes"} & {*words}),
            "letters": not re.fullmatch("[a-z0-9_]+", name),
        }
        found |= {(name, what) for what, wrong in checks.items() if wrong}
    return found


def test_only_teis_own_names_break_prometheus_rules() -> None:
    """What promtool of Prometheus 2.42 says too: dashboards of TEI need these names as they are."""
    metrics = served("m")
    metrics.failed(ErrorKind.OVERLOADED)
    metrics.watch_queue(lambda: {"queued": 1})
    text = metrics.text().decode()
    counters = {"te_request_count", "te_request_success", "te_request_failure"}
    counters |= {"te_embed_count", "te_embed_success"}
    assert lint(text) == {(name, "counter without _total") for name in counters} | {
        ("te_request_count", "reserved"),
        ("te_embed_count", "reserved"),
    }
    families = [family.name for family in text_string_to_metric_families(text)]
    assert len(families) == len(set(families)) == text.count("# TYPE ")


def test_names_are_those_of_text_embeddings_inference() -> None:
    metrics = Metrics()
    metrics.failed(ErrorKind.OVERLOADED)
    text = metrics.text().decode()
    assert "# TYPE te_request_failure counter\n" in text
    assert not re.search("^te_.*_total", text, re.MULTILINE) and "_created" not in text


def test_each_model_has_its_series_from_the_start() -> None:
    metrics = served("a", "b")
    metrics.models["b"].requested(2)
    found = samples(metrics)
    assert found['te_request_count{method="batch",model="a"}'] == 0
    assert found['te_request_count{method="batch",model="b"}'] == 1
    assert found['te_batch_next_size_count{model="a"}'] == 0
    assert found['bge_truncated_texts_total{model="b"}'] == 0
    assert found['bge_model_info{model="a",precision="int8",threads="2"}'] == 1
    sums = [value for name, value in found.items() if name.startswith("te_embed_count")]
    assert sum(sums) == 2  # as TEI's, which has no label


def test_versions_and_the_process() -> None:
    found = samples(Metrics())
    version = f'python="{platform.python_version()}",version="{engine.__version__}"'
    assert found[f"bge_build_info{{{version}}}"] == 1
    if Path("/proc/self/stat").exists():
        assert found["process_resident_memory_bytes"] > 1e6


def test_the_batch_queue_by_state() -> None:
    metrics, waiting = Metrics(), {"queued": 2, "running": 1}
    metrics.watch_queue(lambda: waiting or None)
    found = samples(metrics)
    states = {s: found[f'bge_batch_queue_requests{{state="{s}"}}'] for s in waiting}
    assert (states, found["bge_batch_queue_up"]) == (waiting, 1)
    waiting.clear()  # unknown is not 0
    found = samples(metrics)
    assert found["bge_batch_queue_up"] == 0
    assert not [name for name in found if name.startswith("bge_batch_queue_requests")]


def test_requests_texts_and_stages() -> None:
    metrics = served("m", queued=7)
    model = metrics.models["m"]
    model.requested(1)
    model.requested(3)
    model.succeeded(finished(3, cut=2), seconds=4.0)
    model.batch(3, 15)
    found = samples(metrics)
    assert found['te_request_count{method="single",model="m"}'] == 1
    assert found['te_request_count{method="batch",model="m"}'] == 1
    assert found['te_request_success{method="batch",model="m"}'] == 1
    assert found['te_request_success{method="single",model="m"}'] == 0
    one = {name.removesuffix('{model="m"}'): value for name, value in found.items()}
    assert (one["te_embed_count"], one["te_embed_success"]) == (4, 3)
    assert (one["te_queue_size"], one["bge_truncated_texts_total"]) == (7, 2)
    for name, seconds in (("", 4.0), ("_tokenization", 0.5), ("_queue", 2.0), ("_inference", 1.0)):
        assert one[f"te_request{name}_duration_sum"] == seconds
        assert one[f"te_embed{name}_duration_count"] == 1
    assert one["te_request_input_length_sum"] == 15
    assert (one["te_batch_next_size_sum"], one["te_batch_next_tokens_sum"]) == (3, 15)


def test_failures_by_cause() -> None:
    metrics = Metrics()
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
