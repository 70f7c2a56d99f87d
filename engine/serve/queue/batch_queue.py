"""The durable queue behind the asynchronous batch API, in SQLite or PostgreSQL.

    submit -> requests and slices in the database -> worker: slice, slice, slice -> status

An accepted request survives the process. A process that dies loses the slices it was computing, no
more: another process, or its successor, continues with the first slice that has no responses.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import URL

from engine.errors import Overloaded
from engine.serve.http.errors import ErrorKind, HTTPError
from engine.serve.queue.database import DatabaseFull, default_url
from engine.serve.queue.responses import Item
from engine.serve.queue.store import Load, Status, Store
from engine.serve.queue.worker import RunItem, Worker

__all__ = ["BatchQueue", "Status", "default_url"]

T = TypeVar("T")

MAX_WAITING = 64  # submissions on their way to the database


class BatchQueue:
    """Accepts requests, computes them in the background, and keeps their responses.

    `run_item(model, item)` computes one item on the loop that called `start`, and returns
    {"success", "result", "error", "prompt_tokens"}; float32 arrays in the result are kept as
    such. When it raises Overloaded it is called again a little later; any other exception fails
    the item. At most `concurrency` items are computed at once. Responses are kept
    `retention_seconds` after the request is finished. `max_pending`, `max_pending_items` and
    `max_pending_bytes` limit what is not finished. Replicas on one PostgreSQL database should
    have the same options.
    """

    def __init__(
        self,
        url: str | URL,
        run_item: RunItem,
        *,
        concurrency: int = 8,
        retention_seconds: float = 86400.0,
        max_pending: int = 1000,
        max_pending_items: int = 50_000,
        max_pending_bytes: int = 1 << 30,
    ) -> None:
        self._url = url
        self._run_item = run_item
        self._concurrency = concurrency
        self._retention = retention_seconds
        self._limits = Load(max_pending, max_pending_items, max_pending_bytes)
        self._submitting = 0
        self._stopping = False
        self._writer = ThreadPoolExecutor(1, "queue-writer")  # one, so that limits are exact
        self._threads = ThreadPoolExecutor(4, "queue")

    async def start(self) -> None:
        """Open the database and begin to work; EngineError when another process has the file."""
        self._store = await self._in_thread(Store, self._url)
        self._worker = Worker(
            self._store, self._in_thread, self._run_item, self._concurrency, self._retention
        )

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Finish the slices at hand if the grace allows, and leave the rest to other processes."""
        self._stopping = True
        await self._worker.stop(grace_seconds)
        await asyncio.to_thread(self._writer.shutdown)  # after the submissions on their way
        await asyncio.to_thread(self._threads.shutdown)
        self._store.close()

    async def submit(self, model: str, account: str, items: list[Item]) -> str:
        """Store a request and return its id, a UUID: from then on it survives this process.

        Overloaded when the queue is full, InputError for what can never be stored, HTTPError
        when the disk is full, another EngineError when the database cannot be used.
        """
        if self._stopping or self._submitting >= MAX_WAITING:
            raise Overloaded("the batch queue accepts no request at the moment; try again")
        self._submitting += 1
        try:
            add = self._store.add
            request_id = await _run_on(self._writer, add, model, account, items, self._limits)
        except DatabaseFull:
            message = "The batch queue's disk is full; nothing was accepted. Try again later."
            raise HTTPError(ErrorKind.QUEUE_DISK_FULL, message) from None
        finally:
            self._submitting -= 1
        self._worker.wake()
        return request_id

    async def status(self, account: str, request_id: str) -> Status | None:
        """The state and, once done, the responses; None for an id unknown to this account."""
        return await self._in_thread(self._store.status, account, request_id, self._retention)

    @property
    def waiting(self) -> dict[str, int] | None:
        """The number of unfinished requests by state, a few seconds ago; None while the database
        cannot be used."""
        return self._worker.waiting

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        return await _run_on(self._threads, function, *args)


async def _run_on(threads: Executor, function: Callable[..., T], *args: object) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, function, *args)
