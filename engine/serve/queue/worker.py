"""Computes the requests of the batch queue, slice by slice, on the server's event loop."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from engine.errors import EngineError, Overloaded
from engine.serve.queue.database import DatabaseFull
from engine.serve.queue.responses import Item, Outcome, encode, failure, failure_of
from engine.serve.queue.store import LEASE_S, Claim, Store

log = logging.getLogger(__name__)

RunItem = Callable[[str, Item], Awaitable[Outcome]]

MAX_ATTEMPTS = 100  # after that, the request itself seems to crash its processes
COUNT_S = 5.0  # between two counts of what waits
POLL_S = 0.5  # between two looks for requests that other processes submitted or left
RETRY_S = 1.0  # before a request whose attempt failed can be claimed again
LONGEST_PAUSE_S = 2.0  # before an item is tried again that was refused with Overloaded


class Worker:
    """Claims requests, computes them, and deletes expired ones, until it is stopped.

    `run_in_thread(function, *args)` runs what blocks. At most `concurrency` items are computed at
    once. `waiting` is the number of unfinished requests by state a few seconds ago, and None while
    the database cannot be used.
    """

    def __init__(
        self,
        store: Store,
        run_in_thread: Callable[..., Awaitable[Any]],
        run_item: RunItem,
        concurrency: int,
        retention_seconds: float,
    ) -> None:
        self._store = store
        self._run_in_thread = run_in_thread
        self._run_item = run_item
        self._concurrency = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._retention = retention_seconds
        self._runs: dict[Claim, asyncio.Task[None]] = {}
        self._next_renewal = self._next_deletion = self._next_count = 0.0
        self.waiting: dict[str, int] | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._loop = asyncio.create_task(self._work())

    def wake(self) -> None:
        """Look for work now: there is a new request, or room for one."""
        self._wake.set()

    async def stop(self, grace_seconds: float) -> None:
        """Finish the slices that are being computed if the grace allows; release all claims."""
        self._stopping = True
        self.wake()
        await self._loop
        runs = set(self._runs.values())
        if runs:
            _, late = await asyncio.wait(runs, timeout=grace_seconds)
            for run in late:
                run.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _work(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                await self._beat()
            except DatabaseFull:
                pass  # the log has it
            except EngineError as error:
                self.waiting, self._next_count = None, 0.0
                log.warning("the batch queue waits for its database: %s", error)
            except Exception:
                log.exception("the batch queue's worker failed; it tries again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def _beat(self) -> None:
        now = time.monotonic()
        if self._runs and now >= self._next_renewal:
            await self._run_in_thread(self._store.renew, list(self._runs))
            self._next_renewal = now + LEASE_S / 5
        # two requests for a slot, so that none is idle while the next request is claimed
        if (free := 2 * self._concurrency - len(self._runs)) > 0:
            for claim in await self._run_in_thread(self._store.claim, free):
                self._runs[claim] = asyncio.create_task(self._run(claim))
        if now >= self._next_count:
            self.waiting = await self._run_in_thread(self._store.waiting)
            self._next_count = now + COUNT_S
        if now >= self._next_deletion:
            await self._run_in_thread(self._store.delete_expired, self._retention)
            self._next_deletion = now + min(60.0, self._retention / 4)

    async def _run(self, claim: Claim) -> None:
        finished = False
        try:
            while not finished and not self._stopping:
                first, items = await self._run_in_thread(self._store.next_slice, claim)
                outcomes = await self._compute(claim, items)
                finished = await self._save(claim, first, items, outcomes)
        except Exception as error:
            log.warning(
                "batch request %s: attempt %d failed: %r", claim.request_id, claim.attempt, error
            )
        finally:
            if not finished:
                with contextlib.suppress(EngineError):  # then the lease runs out
                    pause = 0.0 if self._stopping else RETRY_S
                    await self._run_in_thread(self._store.renew, [claim], pause)
            del self._runs[claim]
            self.wake()

    async def _save(
        self, claim: Claim, first: int, items: list[Item], outcomes: list[Outcome]
    ) -> bool:
        """Stores the outcomes. On a full disk it keeps them, and tries again until there is room:
        as a failed attempt the slice would be computed again, and given up in the end."""
        responses = await self._run_in_thread(encode, first, items, outcomes)
        while True:
            try:
                return bool(await self._run_in_thread(self._store.save, claim, first, responses))
            except DatabaseFull:
                if self._stopping:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _compute(self, claim: Claim, items: list[Item]) -> list[Outcome]:
        if claim.attempt > MAX_ATTEMPTS:
            log.error("batch request %s: gave up after %d attempts", claim.request_id, MAX_ATTEMPTS)
            return [failure("gave up after too many unfinished attempts")] * len(items)
        return await asyncio.gather(*(self._compute_item(claim.model, item) for item in items))

    async def _compute_item(self, model: str, item: Item) -> Outcome:
        async with self._slots:
            pause = 0.05
            while True:
                try:
                    return await self._run_item(model, item)
                except Overloaded:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_S)
                except Exception as error:
                    return failure_of(error)
