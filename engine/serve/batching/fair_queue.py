"""A fair queue: round robin over requests, and of requests of one size the oldest first.

Deficit round robin (Shreedhar and Varghese, 1996) without the deficit counter: each request has a
turn, in which items up to `turn` in cost are taken, then moves to the back. A request of one text
does not wait for a request of thousands, and the large request still gets a share of every batch.

But the items of a turn are those of the oldest request of the same size class. Requests of one size
would otherwise progress together and end together, all of them late.
"""

import bisect
import threading
from collections import OrderedDict, defaultdict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    """One text: its cost, the work it belongs to, and whether it has low priority."""

    @property
    def cost(self) -> int: ...
    @property
    def work(self) -> "Request": ...
    @property
    def background(self) -> bool: ...


class Request(Hashable, Protocol):
    """When it was accepted, and how large it was: about as large as others of its class."""

    @property
    def accepted(self) -> float: ...
    @property
    def size_class(self) -> int: ...


I = TypeVar("I", bound=Item)  # noqa: E741


@dataclass(slots=True)
class Pending(Generic[I]):
    """The queued items of one request."""

    items: deque[I] = field(default_factory=deque)
    cost: int = 0


class Requests(OrderedDict[Request, Pending[I]]):
    """Requests in the order of their turns, and of each size class in the order of their age."""

    def __init__(self) -> None:
        super().__init__()
        self._by_age: defaultdict[int, list[Request]] = defaultdict(list)

    def pending(self, work: Request) -> Pending[I]:
        """The items of a request, which may be new."""
        if work not in self:
            self[work] = Pending()
            bisect.insort(self._by_age[work.size_class], work, key=lambda each: each.accepted)
        return self[work]

    def oldest(self, work: Request) -> Request:
        """The oldest request of its size class."""
        return self._by_age[work.size_class][0]

    def remove(self, work: Request) -> Pending[I] | None:
        pending = self.pop(work, None)
        if pending is not None:
            self._by_age[work.size_class].remove(work)
        return pending


class FairQueue(Generic[I]):
    """Thread-safe. `load` is the cost queued in the foreground, at most `cap` per request."""

    def __init__(self, turn: int, cap: int) -> None:
        self._turn, self._cap = turn, cap
        self._foreground: Requests[I] = Requests()
        self._background: Requests[I] = Requests()
        self._changed = threading.Condition()
        self._closed = False
        self.load = 0

    def add(self, items: Sequence[I]) -> None:
        """Appends each item to the queue of its request."""
        with self._changed:
            for item in items:
                requests = self._background if item.background else self._foreground
                pending = requests.pending(item.work)
                pending.items.append(item)
                self._add_cost(requests, pending, item.cost)
            self._changed.notify()

    def take(self, budget: int) -> list[I]:
        """Waits for an item, then returns a batch of up to `budget` in cost.

        Foreground first. If both kinds are queued, the batch has at least one item of each, so
        that the background makes progress. Empty only when closed and nothing is left.
        """
        with self._changed:
            while not (self._foreground or self._background or self._closed):
                self._changed.wait()
            batch: list[I] = []
            room = budget - self._fill(self._foreground, batch, budget)
            self._fill(self._background, batch, room)
            if self._foreground or self._background:
                self._changed.notify()  # another thread may take the rest
            return batch

    def discard(self, work: Request) -> None:
        """Removes the queued items of a request."""
        with self._changed:
            for requests in (self._foreground, self._background):
                pending = requests.remove(work)
                if pending is not None:
                    self._add_cost(requests, pending, -pending.cost)

    def close(self) -> None:
        """From now on `take` returns what is left, then empty batches."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fill(self, requests: Requests[I], batch: list[I], room: int) -> int:
        taken = 0
        while requests and taken < max(room, 1):
            turn = next(iter(requests))
            work = requests.oldest(turn)
            pending = requests[work]
            cost = self._take_turn(pending, batch, room - taken, must=not taken)
            if not cost:  # it will start the next batch
                break
            taken += cost
            self._add_cost(requests, pending, -cost)
            requests.move_to_end(turn)
            if not pending.items:
                requests.remove(work)
        return taken

    def _take_turn(self, pending: Pending[I], batch: list[I], room: int, must: bool) -> int:
        taken = 0
        while pending.items:
            cost = pending.items[0].cost
            fits = taken + cost <= room and (not taken or taken + cost <= self._turn)
            if not (fits or (must and not taken)):
                break
            batch.append(pending.items.popleft())
            taken += cost
        return taken

    def _add_cost(self, requests: Requests[I], pending: Pending[I], change: int) -> None:
        before = min(pending.cost, self._cap)
        pending.cost += change
        if requests is self._foreground:
            self.load += min(pending.cost, self._cap) - before
