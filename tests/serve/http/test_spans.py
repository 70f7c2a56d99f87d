"""The spans of a request: their times, parents and attributes."""

import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from engine.serve.http.messages import Request
from engine.serve.http.spans import Tracer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def request(path: str = "/embed", method: str = "POST", **headers: str) -> Request:
    async def receive() -> Any:
        raise AssertionError("the body is not read")

    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": given, "query_string": b"q"}
    return Request(scope, receive)


def recorded(one: Request, status: int = 200) -> tuple[ReadableSpan, ...]:
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter)
    tracer.record(one, status)
    tracer.close()
    return exporter.get_finished_spans()


def test_a_request_and_its_stages() -> None:
    one = request()
    one.route, one.model, one.texts, one.tokens = "/embed", "small", 2, 9
    start = one.started
    one.stages.append((start + 1, start + 3, start + 6, start + 10))
    tokenize, queue, compute, server = recorded(one)
    assert (server.name, server.kind, server.parent) == ("POST /embed", SpanKind.SERVER, None)
    assert server.start_time is not None and server.end_time is not None
    assert abs(server.end_time / 1e9 - time.time()) < 5
    for span, name, began, ended in (
        (tokenize, "tokenize", 1, 3),
        (queue, "queue", 3, 6),
        (compute, "compute", 6, 10),
    ):
        assert span.start_time is not None and span.end_time is not None
        assert span.name == name
        assert span.parent is not None and span.parent.span_id == server.context.span_id
        assert span.context.trace_id == server.context.trace_id
        times = (span.start_time - server.start_time, span.end_time - server.start_time)
        assert times == pytest.approx((began * 1e9, ended * 1e9), abs=1e4)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/embed",
        "http.response.status_code": 200,
        "bge.request_id": one.id,
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "small",
        "gen_ai.usage.input_tokens": 9,
        "bge.texts": 2,
    }
    assert server.resource.attributes["service.name"] == "bge"


def test_a_queue_time_is_never_negative() -> None:
    """A batch can begin with the first texts of a request before its last ones are tokenised."""
    one = request()
    one.stages.append((one.started, one.started + 5, one.started + 2, one.started + 7))
    spans = {span.name: span for span in recorded(one)}
    assert spans["queue"].start_time == spans["queue"].end_time


def test_the_client_is_the_parent() -> None:
    (server,) = recorded(request(traceparent=f"00-{TRACE}-{PARENT}-01"))
    assert server.parent is not None
    assert f"{server.context.trace_id:032x}" == TRACE and f"{server.parent.span_id:016x}" == PARENT
    assert recorded(request(traceparent=f"00-{TRACE}-{PARENT}-00")) == ()  # it is not sampled
    (server,) = recorded(request(traceparent="junk"))
    assert server.parent is None


def test_only_errors_of_the_server_are_errors() -> None:
    codes = {
        status: recorded(request(), status)[0].status.status_code for status in (429, 499, 500)
    }
    assert codes == {429: StatusCode.UNSET, 499: StatusCode.UNSET, 500: StatusCode.ERROR}


def test_probes_are_not_recorded() -> None:
    assert recorded(request("/health", "GET")) == recorded(request("/", "GET")) == ()
    assert len(recorded(request("/", "POST"))) == len(recorded(request("/info", "GET"))) == 1


def test_a_path_without_a_route_is_not_in_the_name() -> None:
    (server,) = recorded(request("/wp-login.php"), 404)
    assert server.name == "POST"


def test_the_resource_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "search")
    (server,) = recorded(request())
    assert server.resource.attributes["service.name"] == "search"
