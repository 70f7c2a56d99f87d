"""What the queue's workflow does: a request, slice by slice, on the server's event loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from dbos import DBOS

from engine.errors import Overloaded
from engine.serve.queue.responses import Item, failure_of, packed

log = logging.getLogger(__name__)

Outcome = dict[str, Any]
RunItem = Callable[[str, Item], Awaitable[Outcome]]

LONGEST_PAUSE_S = 2.0


class HandBack(BaseException):
    """Ends a run without an answer, for another run to take up: DBOS would store an Exception."""


class Runner:
    """Answers requests on threads of DBOS, and computes their items on the loop that made it.

    `in_hand` names the requests being answered, once for each run.
    """

    def __init__(self, run_item: RunItem, concurrency: int) -> None:
        self.in_hand: list[str] = []
        self._run_item = run_item
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(concurrency)
        self._computing: set[Future[list[Outcome]]] = set()
        self._stopping = False

    def stop(self) -> None:
        """Begin no further slice."""
        self._stopping = True

    def abandon(self) -> None:
        """Give up the slices that are being computed."""
        self._stopping = True
        for future in list(self._computing):
            future.cancel()

    def answer(self, model: str, slices: list[list[Item]]) -> dict[str, int]:
        """The workflow: what it returns ends the request; a HandBack leaves it open."""
        request_id = str(DBOS.workflow_id)
        self.in_hand.append(request_id)
        try:
            return {"items": self._answer(model, slices)}
        except Exception as error:
            log.warning("batch request %s is handed back: %r", request_id, error)
            raise HandBack from error
        finally:
            self.in_hand.remove(request_id)

    def _answer(self, model: str, slices: list[list[Item]]) -> int:
        index = 0
        for items in slices:
            if self._stopping:
                raise HandBack
            DBOS.run_step({"name": "slice"}, self._answer_slice, model, index, items)
            index += len(items)
        return index

    def _answer_slice(self, model: str, index: int, items: list[Item]) -> dict[str, Any]:
        """A step: what it returns is kept, and not computed again."""
        try:
            answers = enumerate(zip(items, self._outcomes(model, items), strict=True), index)
            return {"responses": [packed(number, *answer) for number, answer in answers]}
        except Exception as error:  # cancelled, or the loop is gone; DBOS would keep it as well
            raise HandBack from error

    def _outcomes(self, model: str, items: list[Item]) -> list[Outcome]:
        future = asyncio.run_coroutine_threadsafe(self._run_slice(model, items), self._loop)
        self._computing.add(future)
        try:
            return future.result()
        finally:
            self._computing.discard(future)

    async def _run_slice(self, model: str, items: list[Item]) -> list[Outcome]:
        return await asyncio.gather(*(self._run(model, item) for item in items))

    async def _run(self, model: str, item: Item) -> Outcome:
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
