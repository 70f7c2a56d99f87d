"""One JSON line on standard error for each request, and for what else the server has to say.

Never in it: texts, tokens, query strings, headers. The lines of the requests that the event loop
answers in one turn are written together.
"""

import asyncio
import contextlib
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from engine.serve.http.messages import Call

_waiting: list[bytes] = []  # lines of requests; only the event loop's thread touches them


def say(event: str, **facts: Any) -> None:
    """Writes one line. From any thread."""
    _write(_line(event, facts))


def _line(event: str, facts: dict[str, Any]) -> bytes:
    said = {"time": datetime.now(UTC), "event": event, **facts}
    return orjson.dumps(said, default=str, option=orjson.OPT_APPEND_NEWLINE)


def _write(lines: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads any more
        sys.stderr.buffer.write(lines)
        sys.stderr.buffer.flush()


def say_request(call: Call, status: int) -> None:
    """The line of one request, soon. Status 499: the client left before the answer."""
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
    if not _waiting:
        asyncio.get_running_loop().call_soon(_write_waiting)
    _waiting.append(_line("request", facts))


def _write_waiting() -> None:
    _write(b"".join(_waiting))
    _waiting.clear()


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
