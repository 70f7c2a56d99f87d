"""One JSON line on standard error for each request, and for what else the server has to say.

Never in it: texts, tokens, query strings, headers.
"""

import contextlib
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from engine.serve.wire import Call


def say(event: str, **facts: Any) -> None:
    """Writes one line."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = orjson.dumps({"time": now, "event": event, **facts}, default=str)
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()


def say_request(call: Call, status: int) -> None:
    """The line of one request. Status 499: the client left before the answer."""
    client = call.scope.get("client") or ("",)
    facts: dict[str, Any] = {
        "id": call.id,
        "client": client[0],
        "method": call.scope["method"],
        "path": call.path[:300],
        "status": status,
        "ms": round(1000 * (time.perf_counter() - call.started), 2),
    }
    if call.model:
        facts |= {"model": call.model, "texts": call.texts, "tokens": call.tokens}
    say("request", **facts)


class JSONHandler(logging.Handler):
    """Log records of ours and of the libraries, as lines like the others."""

    def emit(self, record: logging.LogRecord) -> None:
        facts = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            facts["trace"] = logging.Formatter().formatException(record.exc_info)
        say("log", **facts)


def set_up_logging() -> None:
    """Warnings and worse of every library, as JSON."""
    logging.basicConfig(level=logging.WARNING, handlers=[JSONHandler()], force=True)
