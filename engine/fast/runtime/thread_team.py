"""A thread pool over compiled code that runs without the interpreter's lock.

A call brings jobs. Helper threads compute them, one job of each waiting call in turn; when none is
left to begin, they help with those under way. A caller whose call is the only one computes along,
which saves a short text the way to another thread. So at most `size` threads compute, and one more
for a moment where a second call begins during the first.

Interrupts. A signal handler may raise between any two bytecodes of a caller, so any line here that
a caller runs may be its last. One rule makes that harmless:

    A caller never holds what another thread waits for, and changes what it shares with others only
    by single C calls (put, append, pop, add, discard, clear), which happen wholly or not at all.

It is enough, because helpers are never interrupted, nor is compiled code, and because all that an
interrupted caller can leave behind is waste:

- a job that it took and did not finish: only its own call waits for that, and is over;
- jobs that nobody began, if not even `waiting.clear()` was reached: computed for nobody;
- an invitation that it did not send: fewer helpers for a call that is over;
- scratch memory that it did not put back: freed with its frame, and made anew;
- its mark in `Job.inside`: the memory of that batch is freed, not reused;
- its mark in `_Pool.callers`: others hand over their jobs until this thread calls again.

To wait is allowed, for threads that can't be interrupted: helpers, and `undisturbed`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread, get_ident
from typing import Any

from engine.errors import EngineError
from engine.system.threads import Outcomes, PerProcess, collect, undisturbed

Scratch = Any  # memory that one thread at a time may use


def closed() -> EngineError:
    return EngineError("this embedder is closed; load the model again.")


class Job:
    """Work that any number of threads may do together: `run(scratch)` by each, after one `begin()`.

    Each `run` returns when the whole work is done, by whichever threads. `end()` is called once,
    when the first returns, and keeps the results; `release()` once, when no thread is inside.
    """

    def __init__(
        self,
        begin: Callable[[], None],
        run: Callable[[Scratch], None],
        end: Callable[[], None],
        release: Callable[[], None],
    ) -> None:
        self.begin, self.run = begin, run
        self._end, self._release = [end], [release]
        self.inside: set[int] = set()  # threads
        self.over = False

    def take_part(self, scratch: Scratch) -> bool:
        """Computes along until the whole job is done. True for the one who kept the results."""
        # Numbers of threads, not a count: adding one to a count is several bytecodes, and an
        # interrupt between them would leave it wrong.
        me = get_ident()
        self.inside.add(me)  # before it looks at `over`: who finds nobody inside can rely on it
        try:
            if self.over:
                return False
            self.run(scratch)
            self.over = True
            return _call_once(self._end)
        finally:
            self.inside.discard(me)
            if self.over and not self.inside:
                _call_once(self._release)


def _call_once(function: list[Callable[[], None]]) -> bool:
    """Calls the only item of the list, unless another thread has; returns whether it did."""
    try:
        call = function.pop()
    except IndexError:
        return False
    call()
    return True


class _Call:
    """The jobs of one caller. `finished` gets None for each job that is done, or an error."""

    def __init__(self, jobs: Sequence[Job], helpers: int) -> None:
        self.waiting = deque(jobs)
        self.running: set[Job] = set()
        self.finished: Outcomes = SimpleQueue()
        self.places = [None] * helpers  # one for each helper that may still be invited

    def emptiest(self) -> Job | None:
        """The job under way with the fewest threads."""
        under_way = [job for job in tuple(self.running) if not job.over]
        return min(under_way, key=lambda job: len(job.inside), default=None)


class _Pool:
    """The threads of one process, and what they share."""

    def __init__(self, size: int, make_scratch: Callable[[], Scratch]) -> None:
        self.size, self.make_scratch = size, make_scratch
        self.invitations: SimpleQueue[_Call | None] = SimpleQueue()  # None: the helpers end
        self.callers: set[int] = set()  # threads with a call under way
        self.spare: list[Scratch] = []  # scratch memory of callers that compute along
        self.helpers: list[Thread] = []
        self.hiring = Lock()  # only `undisturbed` threads take it
        self.closed = False

    def run(self, jobs: Sequence[Job]) -> None:
        me = get_ident()
        try:
            self.callers.add(me)
            self._run(jobs, alone=len(self.callers) == 1)
        finally:
            self.callers.discard(me)

    def close(self) -> None:
        """No helper waits for another call; what was handed over before is still computed."""
        self.closed = True
        self.invitations.put(None)

    def join(self) -> None:
        """Waits for the helpers. For threads that can't be interrupted."""
        with self.hiring:
            for helper in self.helpers:
                helper.join()

    def _run(self, jobs: Sequence[Job], alone: bool) -> None:
        # A caller that is alone computes itself, so it needs one helper less.
        helpers = self.size - alone
        if len(self.helpers) < helpers:
            undisturbed(partial(self._hire, helpers))
        call = _Call(jobs, helpers)
        try:
            if not alone:
                self._invite(call)
            if alone or self.closed:  # an invitation from before `closed` is always accepted
                self._compute_along(call)
            collect(call.finished, len(jobs))
        except BaseException:
            call.waiting.clear()
            raise

    def _compute_along(self, call: _Call) -> None:
        try:
            # pop and append are single C calls: either this caller has the memory or the list has
            scratch = self.spare.pop()
        except IndexError:
            scratch = self.make_scratch()
        try:
            while self._take_next(call, scratch):
                pass
        finally:
            self.spare.append(scratch)

    def _take_next(self, call: _Call, scratch: Scratch) -> bool:
        """Takes part in a job that nobody has begun, else in one under way; False if none is."""
        job: Job | None
        try:
            job = call.waiting.popleft()
        except IndexError:
            job = call.emptiest()
        else:
            self._begin(call, job)
        if job is None:
            return False
        if self._needs_help(call):
            self._invite(call)
        if job.take_part(scratch):
            call.running.discard(job)
            call.finished.put(None)
        return True

    def _begin(self, call: _Call, job: Job) -> None:
        if call.waiting:
            self._invite(call)
        job.begin()
        call.running.add(job)

    def _needs_help(self, call: _Call) -> bool:
        """Two threads do two jobs faster than one: help with what is under way comes last."""
        return bool(call.waiting or (call.running and self.invitations.empty()))

    def _invite(self, call: _Call) -> None:
        """One more helper. Each who comes invites the next, so that short work wakes few."""
        try:
            call.places.pop()
        except IndexError:
            return
        self.invitations.put(call)

    def _hire(self, count: int) -> None:
        with self.hiring:
            while len(self.helpers) < count and not self.closed:
                work = partial(self._help, self.make_scratch())
                helper = Thread(target=work, name="bge-helper", daemon=True)
                helper.start()
                self.helpers.append(helper)

    def _help(self, scratch: Scratch) -> None:
        while self._accept(self.invitations.get(), scratch):
            pass

    def _accept(self, call: _Call | None, scratch: Scratch) -> bool:
        """Takes part in a job of the call and queues for its next; False when the pool closes."""
        if call is None:
            self.invitations.put(None)  # for the next helper
            return False
        try:
            while self._needs_help(call) and self._take_next(call, scratch):
                self.invitations.put(call)
                if not self.closed:  # else nobody may be left to accept it: goes on itself
                    return True
        except BaseException as error:
            call.finished.put(error)
        call.places.append(None)
        return True


class Team:
    """At most `size` threads for all callers; `make_scratch` makes the memory of one thread."""

    def __init__(self, size: int, make_scratch: Callable[[], Scratch]) -> None:
        self._closed = False
        self._pool = PerProcess(partial(_Pool, size, make_scratch))

    def run(self, jobs: Sequence[Job]) -> None:
        """Returns when all jobs are done; raises what a job raised."""
        if self._closed:
            raise closed()
        self._pool.get().run(jobs)

    def close(self) -> None:
        """Helpers end; what was handed over to them is finished first."""
        self.dismiss()
        undisturbed(self._pool.get().join)

    def dismiss(self) -> None:
        """The same without waiting for it."""
        self._closed = True
        self._pool.get().close()
