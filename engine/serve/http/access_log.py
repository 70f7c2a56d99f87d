"""The log: one JSON line on standard error for each request and each event of the server.

It never contains texts, tokens, query strings or headers.
"""

import contextlib
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from engine.serve.http.messages import Request


def log_event(event: str, **fields: Any) -> None:
    """Writes one line. Thread-safe."""
    record = {"time": datetime.now(UTC), "event": event, **fields}
    line = orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE)
    with contextlib.suppress(OSError, ValueError):  # standard error is closed
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()


def log_request(request: Request, status: int) -> None:
    """Writes the line of one request. Status 499: the client left before the response."""
    fields: dict[str, Any] = {
        "id": request.id,
        "client": request.client.host if request.client else "",
        "method": request.method,
        "path": request.path[:300],
        "status": status,
        "ms": round(1000 * (time.perf_counter() - request.started), 2),
    }
    if request.model:
        fields |= {"model": request.model, "texts": request.texts, "tokens": request.tokens}
    log_event("request", **fields)


class JSONHandler(logging.Handler):
    """Writes log records, ours and those of libraries, as JSON lines."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            fields["trace"] = logging.Formatter().formatException(record.exc_info)
        log_event("log", **fields)


def set_up_logging() -> None:
    """Sends warnings and errors of every library to the log."""
    logging.basicConfig(level=logging.WARNING, handlers=[JSONHandler()], force=True)
