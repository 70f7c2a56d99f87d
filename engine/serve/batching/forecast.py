"""How long a request will take, from the measured rate and from what was accepted before it.

Work is counted in units: the tokens that a text probably has, a quarter of its characters. What is
wrong with the guess is as wrong in the rate, which is measured in the same units.
"""

from collections import Counter

from engine.serve.batching.request import Work

WEIGHT = 0.2  # of the newest batch in the moving average


class Forecast:
    """Of one model. `rate` is in units a second; None before the first large batch."""

    def __init__(self, large: int) -> None:
        """large: units of a batch from which on it is measured; a small one is slower a unit."""
        self.rate: float | None = None
        self._large = large
        self._units: Counter[int] = Counter()  # by size class
        self._requests: Counter[int] = Counter()

    def seconds(self, work: Work) -> float:
        """How long the work will take if it is accepted now; 0 if nothing is known."""
        if self.rate is None:
            return 0.0
        size, own = work.size_class, work.units
        # All that was accepted before it; or, where its class is served beside others, what is
        # before it in its class, at the class's share of the rate (see `fair_queue`).
        of_all = self._units.total() + own
        share = (self._requests[size] + 1) / (self._requests.total() + 1)
        of_class = (self._units[size] + own) / share
        return min(of_all, of_class) / self.rate

    def alone(self, work: Work) -> float:
        """How long it would take if there were nothing else."""
        return work.units / self.rate if self.rate else 0.0

    def accepted(self, work: Work) -> None:
        work.counted = True
        self._units[work.size_class] += work.units
        self._requests[work.size_class] += 1

    def computed(self, work: Work, units: int) -> None:
        """A part of the work is done."""
        if work.counted:
            work.units -= units
            self._units[work.size_class] -= units

    def ended(self, work: Work) -> None:
        """The work is finished or given up; if it was accepted, which background work is not."""
        if work.counted:
            work.counted = False
            self._units[work.size_class] -= work.units
            self._requests[work.size_class] -= 1

    def measured(self, units: int, seconds: float) -> None:
        """A batch of so many units took so long."""
        if units < self._large:
            return
        rate = units / max(seconds, 1e-6)
        self.rate = rate if self.rate is None else self.rate + WEIGHT * (rate - self.rate)
