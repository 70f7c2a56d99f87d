"""Whether requests are traced, as a flag or OpenTelemetry's own variables say."""

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.errors import InputError

if TYPE_CHECKING:
    from engine.serve.http.spans import Tracer

log = logging.getLogger("bge.serve")

VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
OFF = {"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "none"}
HTTP = "http/protobuf"
MISSING = "traces need the package opentelemetry: pip install 'bge-engine[otel]'"


def open_tracer(endpoint: str, environ: Mapping[str, str] = os.environ) -> "Tracer | None":
    """The tracer for a collector's URL, or for that of the variables; None without either.

    InputError for an endpoint that cannot be used. The variables may be meant for other programs
    of the machine too, so with them the server starts without traces, and says so.
    """
    if not endpoint and not _set(environ, *VARIABLES):
        return None
    if any(environ.get(name, "").strip().lower() == value for name, value in OFF.items()):
        return None
    try:
        return _opened(endpoint, environ)
    except InputError as error:
        if endpoint:
            raise
        log.warning("requests are not traced: %s", error)
        return None


def _opened(endpoint: str, environ: Mapping[str, str]) -> "Tracer":
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise InputError(
            f"--otlp-endpoint is {endpoint!r}; it must be a collector's URL for OTLP over HTTP, "
            "such as http://127.0.0.1:4318."
        )
    protocol = _set(environ, *PROTOCOLS)
    if protocol not in ("", HTTP):
        raise InputError(
            f"the variables of OpenTelemetry ask for the protocol {protocol!r}; set "
            f"{PROTOCOLS[0]} to {HTTP}, and the endpoint to the collector's port for it."
        )
    try:
        from engine.serve.http.spans import Tracer, exporter_to
    except ModuleNotFoundError as error:
        raise InputError(f"{MISSING} ({error}).") from error
    return Tracer(exporter_to(endpoint))


def _set(environ: Mapping[str, str], *names: str) -> str:
    """The first variable that is set."""
    return next((environ[name] for name in names if environ.get(name)), "")
