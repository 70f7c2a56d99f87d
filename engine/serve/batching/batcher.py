"""Dynamic batching: the texts of concurrent requests are tokenised and computed together.

    event loop ──texts──> tokenising threads ──tokens──> computing thread ──rows──> event loop

When the computing thread becomes free, it takes what is queued at that moment. There is no batching
timer, so a lone request is not delayed. One computing thread is enough, because the engine has its
own thread pool. Both stages read from a fair queue (fair_queue.py).
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine import Embedder, TooLong
from engine.literals import Side
from engine.serve.batching.compute import compute
from engine.serve.batching.fair_queue import FairQueue
from engine.serve.batching.forecast import Forecast
from engine.serve.batching.request import Text, TextItem, Vectors, Work, WorkOptions
from engine.serve.http.errors import ErrorKind, HTTPError, http_error_of

if TYPE_CHECKING:
    from engine.tokenizer.tokens import Tokens

log = logging.getLogger("bge.serve")

LONG_TEXT = 50_000  # characters: about 10 ms to tokenise; one of 10 MB may take seconds
TOKENISE_CHARACTERS = 32_768  # characters tokenised per batch
TURN_CHARACTERS = 4_096  # of them, characters of one request per turn
# Shares of the time limit. A request that ends a little too late has cost as much as any other.
PROMISED = 0.85  # within which it must probably end to be accepted
MARGIN = 1.25  # over which it is refused for good, if alone it would take so long
SHARE = 8  # one request counts for at most 1/8 of a limit


class Batcher:
    """One per model. `embed` runs on the event loop; tokenising and computing run in threads."""

    def __init__(
        self,
        embedder: Embedder,
        *,
        batch_tokens: int,
        waiting_texts: int,
        waiting_tokens: int,
        seconds: float = math.inf,
        observe_batch: Callable[[int, int], None] = lambda texts, tokens: None,
    ) -> None:
        """seconds: how long a request may take."""
        self.embedder, self.batch_tokens = embedder, batch_tokens
        self.waiting_texts, self.waiting_tokens = waiting_texts, waiting_tokens
        self.waiting = 0  # texts accepted and not finished; each request counts up to its share
        self._observe_batch = observe_batch
        self._short: FairQueue[TextItem] = FairQueue(TURN_CHARACTERS, TOKENISE_CHARACTERS)
        self._long: FairQueue[TextItem] = FairQueue(1, LONG_TEXT)
        self._ready: FairQueue[TextItem] = FairQueue(embedder.max_tokens, waiting_tokens // SHARE)
        self._seconds, self._forecast = seconds, Forecast(batch_tokens // 4)
        self._tokenisers = [
            _thread("tokenise", self._tokenise_loop, queue) for queue in (self._short, self._long)
        ]
        self._computer = _thread("compute", self._compute_loop)

    def start(self) -> None:
        """Starts the threads. Call it on the event loop on which `embed` will be called."""
        self._loop = asyncio.get_running_loop()
        for thread in (*self._tokenisers, self._computer):
            thread.start()

    async def stop(self) -> None:
        """Finishes all accepted work, then ends the threads."""
        for queue in (self._short, self._long):
            queue.close()
        for thread in self._tokenisers:
            await asyncio.to_thread(thread.join)
        self._ready.close()
        await asyncio.to_thread(self._computer.join)

    async def embed(self, texts: Sequence[Text], options: WorkOptions) -> Work:
        """Computes `texts` (at least one) and returns the finished work.

        Raises HTTPError OVERLOADED immediately when the queue is full, HTTPError BACKEND when the
        model fails, TooLong when a text may not be truncated. When the caller is cancelled, its
        queued texts are discarded.
        """
        weight = 0
        work = Work(texts, options, self._loop.create_future())
        if not options.background:
            if self.full or (options.only_if_idle and self.waiting):
                raise self._overloaded()
            self._check_time(work)
            weight = min(len(texts), max(1, self.waiting_texts // SHARE))
            self._forecast.accepted(work)
        self.waiting += weight
        try:
            self._enqueue(work)
            await work.done
        except BaseException:
            for queue in (self._short, self._long, self._ready):
                queue.discard(work)
            work.items.clear()
            self._forecast.ended(work)
            del work  # breaks the cycle traceback -> frame -> work -> future -> exception
            raise
        finally:
            self.waiting -= weight
        self._forecast.ended(work)
        return work

    @property
    def full(self) -> bool:
        """Whether new work is refused. The size of the new request does not matter."""
        return self.waiting >= self.waiting_texts or self._ready.load >= self.waiting_tokens

    def _overloaded(self) -> HTTPError:
        """The error for a full queue; retry_after is the time to compute half of the queue."""
        seconds = math.ceil(self._ready.load / (self._forecast.rate or 1000) / 2)
        return HTTPError(
            ErrorKind.OVERLOADED,
            f"{self.waiting} texts are queued; the limit is {self.waiting_texts}. Retry later.",
            retry_after=min(60, max(1, seconds)),
        )

    def _check_time(self, work: Work) -> None:
        """Raises HTTPError for work that would not end in time: nothing of it is computed then."""
        alone, texts = self._forecast.alone(work), len(work.items)
        if alone > MARGIN * self._seconds and texts > 1:
            raise HTTPError(
                ErrorKind.INVALID,
                f"{texts} texts of this length take about {alone:.0f} seconds, and the time limit "
                f"is {self._seconds:g}. Send at most {max(1, int(texts * self._seconds / alone))}.",
            )
        if (late := self._forecast.seconds(work) - PROMISED * self._seconds) > 0:
            raise HTTPError(
                ErrorKind.OVERLOADED,
                f"{self.waiting} texts are queued: this request would not end within "
                f"{self._seconds:g} seconds. Retry later.",
                retry_after=min(60, max(1, math.ceil(late))),
            )

    def _enqueue(self, work: Work) -> None:
        first: dict[FairQueue[TextItem], list[TextItem]] = defaultdict(list)
        for item in work.items:
            queue = self._long if item.cost > LONG_TEXT else self._short
            first[queue if item.tokens is None else self._ready].append(item)
        for queue, items in first.items():
            queue.add(items)

    def _tokenise_loop(self, queue: FairQueue[TextItem]) -> None:
        while batch := queue.take(TOKENISE_CHARACTERS):
            for side in {item.work.options.truncation_side for item in batch}:
                items = [item for item in batch if item.work.options.truncation_side == side]
                with self._errors_to_requests(items):
                    self._tokenise(items, side)

    def _tokenise(self, items: list[TextItem], side: Side | None) -> None:
        texts = [item.text for item in items]
        found = self.embedder.tokenize(texts, truncation_side=side, count_cut=False)
        now = time.perf_counter()
        for item, tokens in zip(items, found, strict=True):
            if tokens.cut and not item.work.options.truncate:
                self._call(item.work.fail, self._too_long(item, tokens))
            item.tokens, item.cost, item.text = tokens, len(tokens), ""
            item.work.tokenised = now
        self._ready.add([item for item in items if not item.work.done.done()])

    def _too_long(self, item: TextItem, tokens: "Tokens") -> TooLong:
        given = f"{len(tokens) + tokens.cut}"
        if item.cost > LONG_TEXT:  # only its first tokens were counted
            given = f"at least {given}"
        limit = self.embedder.max_tokens
        return TooLong(f"`inputs` must have less than {limit} tokens. Given: {given}")  # TEI's

    def _compute_loop(self) -> None:
        while batch := self._ready.take(self.batch_tokens):
            with self._errors_to_requests(batch):
                began = time.perf_counter()
                done, rows, failed = compute(self.embedder, batch)
                for work, error in failed.items():
                    log.error("one request of a batch failed: %s", error.message)
                    self._call(work.fail, error)
                if done:
                    self._call(self._deliver, done, rows, began, time.perf_counter())

    def _deliver(
        self, batch: list[TextItem], rows: Iterable[Vectors], began: float, ended: float
    ) -> None:
        self._observe_batch(len(batch), sum(item.cost for item in batch))
        self._forecast.measured(sum(item.units for item in batch), ended - began)
        for item, row in zip(batch, rows, strict=True):
            self._forecast.computed(item.work, item.units)
            item.work.put(item, row, began, ended)

    @contextlib.contextmanager
    def _errors_to_requests(self, items: list[TextItem]) -> Iterator[None]:
        """An error in a thread fails the requests of the batch; the thread continues.

        Catches BaseException, because a panic of the Rust tokenizer is not an Exception.
        """
        try:
            yield
        except BaseException as error:
            log.exception("a batch of %d texts failed", len(items))
            for work in {item.work for item in items}:
                self._call(work.fail, _model_error(error))

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)


def _thread(name: str, work: Callable[..., None], *arguments: Any) -> threading.Thread:
    return threading.Thread(target=work, args=arguments, name=f"bge-{name}", daemon=True)


def _model_error(error: BaseException) -> HTTPError:
    found = http_error_of(error)
    if found.kind is not ErrorKind.INTERNAL:
        return found
    return HTTPError(ErrorKind.BACKEND, "The model failed on a batch; the server's log says why.")
