"""Who is next: the texts of many requests wait here and are taken in turns.

Deficit round robin without the deficit (after Shreedhar and Varghese, 1996): each request in turn
gives items up to `turn` in cost, then goes to the back. A request of thousands of texts gives way
to a request of one, and still gets its share of every batch.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Item(Protocol):
    """One text of a request: what it costs to take it, whose it is, and whether it can wait."""

    @property
    def cost(self) -> int: ...
    @property
    def job(self) -> Hashable: ...
    @property
    def background(self) -> bool: ...


I = TypeVar("I", bound=Item)  # noqa: E741


@dataclass(slots=True)
class Line(Generic[I]):
    """What one request still has waiting."""

    items: deque[I] = field(default_factory=deque)
    cost: int = 0


Lines = OrderedDict[Hashable, Line[I]]


class Turns(Generic[I]):
    """Thread-safe. `load`: the cost that waits in the foreground, of each request `cap` at most."""

    def __init__(self, turn: int, cap: int) -> None:
        self._turn, self._cap = turn, cap
        self._foreground: Lines[I] = OrderedDict()
        self._background: Lines[I] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self.load = 0

    def add(self, items: Sequence[I]) -> None:
        """Puts each item at the end of its request's line."""
        with self._changed:
            for item in items:
                lines = self._background if item.background else self._foreground
                line = lines.get(item.job)
                if line is None:
                    line = lines[item.job] = Line()
                line.items.append(item)
                self._weigh(lines, line, item.cost)
            self._changed.notify()

    def take(self, budget: int) -> list[I]:
        """The next batch: waits for an item, then takes what is there, up to `budget` in cost.

        Foreground first; but where both kinds wait, one item of each at least is taken, so that
        the background moves in every batch. Empty only when closed and nothing is left.
        """
        with self._changed:
            while not (self._foreground or self._background or self._closed):
                self._changed.wait()
            batch: list[I] = []
            room = budget - self._fill(self._foreground, batch, budget)
            self._fill(self._background, batch, room)
            if self._foreground or self._background:
                self._changed.notify()  # to another taker
            return batch

    def discard(self, job: Hashable) -> None:
        """Forgets what a request still has waiting."""
        with self._changed:
            for lines in (self._foreground, self._background):
                line = lines.pop(job, None)
                if line is not None:
                    self._weigh(lines, line, -line.cost)

    def close(self) -> None:
        """Lets `take` run dry."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fill(self, lines: Lines[I], batch: list[I], room: int) -> int:
        taken = 0
        while lines and taken < max(room, 1):
            job, line = next(iter(lines.items()))
            cost = self._take_turn(line, batch, room - taken, must=not taken)
            if not cost:  # it opens the next batch
                break
            taken += cost
            self._weigh(lines, line, -cost)
            if line.items:
                lines.move_to_end(job)
            else:
                del lines[job]
        return taken

    def _take_turn(self, line: Line[I], batch: list[I], room: int, must: bool) -> int:
        taken = 0
        while line.items:
            cost = line.items[0].cost
            fits = taken + cost <= room and (not taken or taken + cost <= self._turn)
            if not (fits or (must and not taken)):
                break
            batch.append(line.items.popleft())
            taken += cost
        return taken

    def _weigh(self, lines: Lines[I], line: Line[I], change: int) -> None:
        before = min(line.cost, self._cap)
        line.cost += change
        if lines is self._foreground:
            self.load += min(line.cost, self._cap) - before
