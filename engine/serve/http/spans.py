"""Spans of requests: one of the server, with what its texts waited for. No texts, no headers.

A span is written when its request has ended, from the times that the request and its work have.
"""

import threading
import time

from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

import engine
from engine.serve.http.auth import OPEN
from engine.serve.http.messages import Request

LAST_S = 2.0  # to send the last spans when the server stops
STAGES = ("tokenize", "queue", "compute")


def exporter_to(endpoint: str) -> SpanExporter:
    """Sends to a collector's URL; without one to that of OpenTelemetry's variables, which also
    set headers, certificates and time limits."""
    return OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None)


class Tracer:
    """Spans of requests for one exporter, which a thread of its own feeds."""

    def __init__(self, exporter: SpanExporter) -> None:
        ours = {"service.name": "bge", "service.version": engine.__version__}
        resource = Resource.create(ours).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("bge", engine.__version__)

    def record(self, request: Request, status: int) -> None:
        """The spans of a request that has ended; a client's `traceparent` is their parent."""
        if request.method == "GET" and request.path in OPEN:  # asked every few seconds
            return
        epoch = time.time() - time.perf_counter()  # when the clock of the stages was 0
        span = self._tracer.start_span(
            f"{request.method} {request.route}".rstrip(),
            propagate.extract(request.headers),
            SpanKind.SERVER,
            {
                "http.request.method": request.method,
                "http.route": request.route,
                "http.response.status_code": status,
                "bge.request_id": request.id,
            },
            start_time=_ns(epoch + request.started),
        )
        if request.model:
            span.set_attribute("gen_ai.operation.name", "embeddings")
            span.set_attribute("gen_ai.request.model", request.model)
            span.set_attribute("gen_ai.usage.input_tokens", request.tokens)
            span.set_attribute("bge.texts", request.texts)
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        inside = set_span_in_context(span)
        for times in request.stages:
            self._record_stages(inside, [epoch + moment for moment in times])
        span.end()

    def _record_stages(self, parent: Context, times: list[float]) -> None:
        """`times` in seconds since 1970: when each stage began, and when the last one ended."""
        for name, began, ended in zip(STAGES, times, times[1:], strict=False):
            span = self._tracer.start_span(name, parent, start_time=_ns(began))
            span.end(_ns(max(began, ended)))

    def close(self) -> None:
        """Sends what is left. A collector that is away gets `LAST_S`; the exporter would try for
        ten seconds."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(LAST_S)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
