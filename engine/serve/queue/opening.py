"""Opens the queue's database; where that fails, tries again while the server serves vectors."""

import asyncio
import functools
import logging

from engine.errors import EngineError, InputError
from engine.serve.dialects.cloudflare import run_item
from engine.serve.queue.batch_queue import BatchQueue, default_url
from engine.serve.service import Service

log = logging.getLogger("bge.serve")

PAUSE_S = 5.0


class OpenQueue:
    """The service's queue, open as soon as its database can be used."""

    def __init__(self, service: Service) -> None:
        settings = service.settings
        self._service = service
        self._queue = BatchQueue(
            settings.queue or default_url(),
            functools.partial(run_item, service),
            concurrency=settings.queue_concurrency,
            retention_seconds=settings.queue_retention,
            max_pending=settings.queue_max_requests,
        )
        self._trying: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """The first attempt. InputError where no later one could help."""
        if not await self._open():
            self._trying = asyncio.create_task(self._try_again())

    async def stop(self) -> None:
        if self._trying is not None:
            self._trying.cancel()
        if self._service.queue is not None:
            await self._queue.stop()

    async def _open(self, said: bool = False) -> bool:
        try:
            await self._queue.start()
        except InputError:
            raise
        except EngineError as error:
            if not said:
                log.warning(
                    "batches are refused, and all else is served: %s. Trying again every %g s.",
                    error,
                    PAUSE_S,
                )
            return False
        self._service.queue = self._queue
        return True

    async def _try_again(self) -> None:
        await asyncio.sleep(PAUSE_S)
        while not await self._open(said=True):
            await asyncio.sleep(PAUSE_S)
        log.warning("the batch queue's database can be used now: batches are accepted.")
