"""What a full server does: it refuses at the door, and then leaves the machine to its work.

Clients that are refused come again, and each takes the processor, and what the caches held, from
the texts that were accepted. So a refusal is given by the head of a request, in the connection
(http.protocol), before anything is read, routed or waited for; and after one the event loop
lies still for a moment, so that the next come as a group. A network card moderates its interrupts
in the same way.
"""

import asyncio
import time
from typing import NoReturn

from engine.serve.batching.models import Models
from engine.serve.http.messages import Call
from engine.serve.http.metrics import Metrics

REST_S = 0.02
PART = 16  # of the time that the backlog takes: the rest never lasts until it is gone
POLL_BYTES = 128  # the question for the state of a queued batch is shorter
VECTORS = ("/embed", "/embed_all", "/similarity", "/v1/embeddings")


class Overload:
    """One for a server."""

    def __init__(self, models: Models, metrics: Metrics) -> None:
        self._models, self._metrics = models, metrics
        self._resting = False

    def refuse(self) -> NoReturn:
        """Raises Problem OVERLOADED, for a request of which nothing but the head was read."""
        self._metrics.unread()
        self._rest()
        raise self._models.first.batcher.overloaded()

    def _rest(self) -> None:
        """Once all that has come in is handled, the event loop sleeps; answers are on their way."""
        if not self._resting:
            self._resting = True
            asyncio.get_running_loop().call_soon(self._sleep)

    def _sleep(self) -> None:
        time.sleep(min(REST_S, self._models.backlog / PART))
        self._resting = False


def wants_vectors(call: Call) -> bool:
    """Whether a request, by its head, is for vectors now. A batch may be queued while all waits."""
    if call.scope["method"] != "POST":
        return False
    if not call.path.startswith("/client/v4/"):
        return call.path in VECTORS
    if "/ai/run/" not in call.path:
        return call.path.endswith("/ai/v1/embeddings")
    length = int(call.headers.get(b"content-length", b"0"))  # 0: it comes in chunks
    return length >= POLL_BYTES and "queueRequest" not in call.query
