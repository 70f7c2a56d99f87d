"""Requests -> batches: the texts of concurrent requests are tokenised and computed together.

    event loop ──texts──> tokenising threads ──tokens──> computing threads ──rows──> event loop

A computing thread takes whatever is waiting the moment it is free: nothing waits for a timer or
for company, and a batch is made as late as can be, which takes microseconds. Both stages take
texts in turns (engine.serve.batching.fair_queue).
"""

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine import Embedder, TooLong
from engine.literals import Side
from engine.serve.batching.compute import compute
from engine.serve.batching.fair_queue import Turns
from engine.serve.batching.request import Entry, Job, Vectors, Wish
from engine.serve.http.errors import Kind, Problem, problem_of

if TYPE_CHECKING:
    from engine.tokenizer.tokens import Tokens

log = logging.getLogger("bge.serve")

BULKY = 50_000  # characters: ten milliseconds or so to tokenise; a text of ten megabytes, seconds
CHARACTERS = 32_768  # of texts tokenised in one go, and a request's share of them a turn
CHARACTERS_A_TURN = 4_096
COMPUTING = 1  # threads that call the engine, which has threads of its own; two were no faster
SHARE = 8  # a request counts for at most an eighth of a limit


class Batcher:
    """One for each model. `embed` is for the event loop; the rest of the work is in threads."""

    def __init__(
        self,
        embedder: Embedder,
        *,
        batch_tokens: int,
        waiting_texts: int,
        waiting_tokens: int,
        computing: int = COMPUTING,
        observe_batch: Callable[[int, int], None] = lambda texts, tokens: None,
    ) -> None:
        self.embedder, self.batch_tokens = embedder, batch_tokens
        self.waiting_texts, self.waiting_tokens = waiting_texts, waiting_tokens
        self.waiting = 0  # texts accepted and not yet answered, each request's capped
        self._observe_batch = observe_batch
        self._short: Turns[Entry] = Turns(CHARACTERS_A_TURN, CHARACTERS)
        self._bulky: Turns[Entry] = Turns(1, BULKY)
        self._ready: Turns[Entry] = Turns(embedder.max_tokens, waiting_tokens // SHARE)
        self._rate = 1000.0  # tokens a second, a moving average
        self._tokenisers = [
            _thread("tokenise", self._tokenising, turns) for turns in (self._short, self._bulky)
        ]
        self._computers = [_thread("compute", self._computing) for _ in range(computing)]

    def start(self) -> None:
        """Call from the event loop that will call `embed`."""
        self._loop = asyncio.get_running_loop()
        for thread in self._tokenisers + self._computers:
            thread.start()

    async def stop(self) -> None:
        """Finishes what was accepted, then ends the threads."""
        for turns in (self._short, self._bulky):
            turns.close()
        await _joined(self._tokenisers)
        self._ready.close()
        await _joined(self._computers)

    async def embed(self, texts: Sequence[str], wish: Wish) -> Job:
        """Computes `texts` (one at least); the job returned is done.

        Raises Problem OVERLOADED at once when there is no room, Problem BACKEND, or TooLong. When
        the caller is cancelled, what was still waiting of the texts is dropped.
        """
        weight = 0 if wish.background else min(len(texts), self._share_of_texts)
        if not wish.background:
            self._admit(wish)
        job = Job(texts, wish, self._loop.create_future())
        self.waiting += weight
        try:
            self._enqueue(job)
            await job.done
        except BaseException:
            for turns in (self._short, self._bulky, self._ready):
                turns.discard(job)
            job.entries.clear()
            del job  # else the error holds this frame, and through the job itself
            raise
        finally:
            self.waiting -= weight
        return job

    @property
    def _share_of_texts(self) -> int:
        return max(1, self.waiting_texts // SHARE)

    @property
    def full(self) -> bool:
        """Looks at what waits already, not at the newcomer: a giant is let in like anyone else."""
        return self.waiting >= self.waiting_texts or self._ready.load >= self.waiting_tokens

    def _admit(self, wish: Wish) -> None:
        if self.full or (wish.only_if_idle and self.waiting):
            raise self.overloaded()

    def overloaded(self) -> Problem:
        """The refusal, with the time after which to try again."""
        return Problem(
            Kind.OVERLOADED,
            f"{self.waiting} texts are waiting, of at most {self.waiting_texts}; try again.",
            retry_after=self.retry_after(),
        )

    def retry_after(self) -> int:
        """Seconds until about half of what waits is done."""
        return min(60, max(1, math.ceil(self.backlog / 2)))

    @property
    def backlog(self) -> float:
        """Seconds that the computing of what waits will take."""
        return self._ready.load / self._rate

    def _enqueue(self, job: Job) -> None:
        bulky = [entry for entry in job.entries if entry.cost > BULKY]
        if bulky:
            self._bulky.add(bulky)
        if len(bulky) < len(job.entries):
            self._short.add([entry for entry in job.entries if entry.cost <= BULKY])

    def _tokenising(self, turns: Turns[Entry]) -> None:
        while batch := turns.take(CHARACTERS):
            for side in {entry.job.wish.side for entry in batch}:
                entries = [entry for entry in batch if entry.job.wish.side == side]
                with self._failing(entries):
                    self._tokenise(entries, side)

    def _tokenise(self, entries: list[Entry], side: Side | None) -> None:
        found = self._tokens(entries, side)
        now = time.perf_counter()
        for entry, tokens in zip(entries, found, strict=True):
            entry.tokens, entry.cost, entry.text = tokens, len(tokens), ""
            entry.job.tokenised = now
            if tokens.cut and not entry.job.wish.cut:
                self._call(entry.job.fail, self._too_long(entry))
        self._ready.add([entry for entry in entries if not entry.job.done.done()])

    def _tokens(self, entries: list[Entry], side: Side | None) -> "list[Tokens]":
        """Tokens as of the whole texts, but of a bulky one only its head is read where that is
        enough: words are tokenised one by one, so when the head is over the limit already, the
        same tokens are kept of it as of the whole.
        """
        side = side or self.embedder.truncation_side
        heads = [
            head_of(entry.text) if entry.job.wish.cut and side == "right" else entry.text
            for entry in entries
        ]
        found = self.embedder.tokenize(heads, truncation_side=side)
        for i, entry in enumerate(entries):
            if len(heads[i]) < len(entry.text) and not found[i].cut:
                found[i] = self.embedder.tokenize([entry.text])[0]
        return found

    def _too_long(self, entry: Entry) -> TooLong:
        given = len(entry.tokens) + entry.tokens.cut
        limit = self.embedder.max_tokens
        return TooLong(
            f"`inputs` must have less than {limit} tokens. Given: {given}"
        )  # as TEI says

    def _computing(self) -> None:
        while batch := self._ready.take(self.batch_tokens):
            with self._failing(batch):
                began = time.perf_counter()
                done, rows, failed = compute(self.embedder, batch)
                for job, problem in failed.items():
                    log.error("one request of a batch failed: %s", problem.message)
                    self._call(job.fail, problem)
                if done:
                    self._call(self._deliver, done, rows, began, time.perf_counter())

    def _deliver(
        self, batch: list[Entry], rows: Iterable[Vectors], began: float, ended: float
    ) -> None:
        tokens = sum(entry.cost for entry in batch)
        self._rate += 0.2 * (tokens / max(ended - began, 1e-6) - self._rate)
        self._observe_batch(len(batch), tokens)
        for entry, row in zip(batch, rows, strict=True):
            entry.job.put(entry, row, began, ended)

    @contextlib.contextmanager
    def _failing(self, entries: list[Entry]) -> Iterator[None]:
        """An error in a thread becomes the answer of the requests concerned; the thread goes on.

        Whatever the error: a panic of the tokenizer, which is written in Rust, is no Exception.
        """
        try:
            yield
        except BaseException as error:
            log.exception("a batch of %d texts failed", len(entries))
            for job in {entry.job for entry in entries}:
                self._call(job.fail, _backend_problem(error))

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(function, *arguments)


def head_of(text: str) -> str:
    """Of a text longer than `BULKY` about as much, up to where a word ends, if one does."""
    end = max(text.rfind(blank, 0, BULKY) for blank in " \n\t\r") if len(text) > BULKY else 0
    return text[:end] if end > 0 else text


def _thread(name: str, work: Callable[..., None], *arguments: Any) -> threading.Thread:
    return threading.Thread(target=work, args=arguments, name=f"bge-{name}", daemon=True)


async def _joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join)


def _backend_problem(error: BaseException) -> Problem:
    problem = problem_of(error)
    if problem.kind is not Kind.INTERNAL:
        return problem
    return Problem(Kind.BACKEND, "The model failed on a batch; the server's log says why.")
