"""When requests are traced; and a whole server whose spans a collector gets."""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from engine.errors import InputError
from engine.serve.http import spans, tracing
from engine.serve.http.tracing import open_tracer
from tests.serve.serving import fake_server
from tests.support.paths import ROOT

URL = "http://127.0.0.1:9"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[tuple[str, "queue.Queue[bytes]"]]:
    """The URL of a server for OTLP over HTTP, and the bodies that it gets."""
    bodies: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if self.path == "/v1/traces" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("by_flag", [True, False])
def test_a_collector_gets_the_spans_and_no_text(
    by_flag: bool, collector: tuple[str, "queue.Queue[bytes]"]
) -> None:
    url, bodies = collector
    options = ("--otlp-endpoint", f"{url}/") if by_flag else ()
    environ = {} if by_flag else {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    with fake_server(*options, OTEL_BSP_SCHEDULE_DELAY="200", **environ) as server:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        assert server.ask("/embed", {"inputs": "secrettext"}, headers=headers).status == 200
        body = bodies.get(timeout=30)
        assert server.stop() == 0
    assert b"secrettext" not in body
    (resource,) = ExportTraceServiceRequest.FromString(body).resource_spans
    found = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert sorted(found) == ["POST /embed", "compute", "queue", "tokenize"]
    assert {span.trace_id.hex() for span in found.values()} == {TRACE}
    own = found["POST /embed"]
    assert own.parent_span_id.hex() == PARENT
    for name in ("tokenize", "queue", "compute"):
        assert found[name].parent_span_id == own.span_id
        assert own.start_time_unix_nano <= found[name].start_time_unix_nano
        assert found[name].end_time_unix_nano <= own.end_time_unix_nano


@pytest.mark.slow
def test_a_collector_that_is_away_delays_no_one() -> None:
    with fake_server("--otlp-endpoint", URL) as server:
        assert server.ask("/embed", {"inputs": "a"}).status == 200
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < spans.LAST_S + 3


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": URL, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_no_traces(environ: dict[str, str]) -> None:
    assert open_tracer("", environ) is None


def test_without_traces_nothing_is_imported() -> None:
    code = "import sys, engine.serve.server as s; assert 'opentelemetry' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("endpoint", "environ", "why"),
    [
        ("127.0.0.1:4317", {}, "--otlp-endpoint is '127.0.0.1:4317'; it must be a collector's URL"),
        (URL, {tracing.PROTOCOLS[1]: "grpc"}, "ask for the protocol 'grpc'"),
    ],
)
def test_what_cannot_be_used(endpoint: str, environ: dict[str, str], why: str) -> None:
    with pytest.raises(InputError, match=why):
        open_tracer(endpoint, environ)


def test_a_missing_package_stops_the_flag_and_not_the_variable(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "engine.serve.http.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InputError, match=r"pip install 'bge-engine\[otel\]'"):
        open_tracer(URL, {})
    assert open_tracer("", {tracing.VARIABLES[0]: URL}) is None
    assert "requests are not traced: traces need the package" in caplog.text
