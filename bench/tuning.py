"""Which batches, and how many side by side: tried before the timed rounds, for each case.

Two tries of each, the less counts: a peer compiles for shapes that it sees for the first time. A
form whose first try is hopeless gets no second one.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from bench.peers.batching import Settings
from bench.peers.registry import FORM, NOTHING

BATCHES = (1, 8, 16, 32)
LATENCY_TEXTS = 16  # that are tried, one at a time
TRY = 1.0  # seconds that a try takes, about, where there are many texts
HOPELESS = 2.0  # times the best of the first tries


def candidates(tuned: int, count: int, threads: int, measure: str) -> list[Settings]:
    """What a user could choose for so many texts; the smallest batches first."""
    if tuned == NOTHING:
        return [Settings()]
    # one batch that holds all texts is enough
    batches = [batch for n, batch in enumerate(BATCHES) if n == 0 or BATCHES[n - 1] < count]
    streams = sorted({1, threads}) if tuned == FORM else [1]
    if measure == "latency":
        batches = [1]
    return [Settings(batch, each) for each in streams for batch in batches]


def sample(texts: Sequence[str], seconds: float, threads: int) -> list[str]:
    """Some of a case's texts, of all its lengths, that take about TRY seconds.

    seconds: what one text takes. There is always a batch of the largest size for each thread.
    """
    wanted = max(max(BATCHES) * threads, math.ceil(TRY / seconds))
    step = max(1, len(texts) // wanted)
    return sorted(texts, key=len)[::step]


def race(
    choices: Sequence[Settings], seconds: Callable[[Settings], float]
) -> dict[Settings, float]:
    """The seconds of each choice."""
    first = {choice: seconds(choice) for choice in choices}
    limit = HOPELESS * min(first.values())
    return {
        choice: min(one, seconds(choice)) if one <= limit else one for choice, one in first.items()
    }


def best(seconds: Mapping[Settings, float]) -> Settings:
    """The fastest; of equals the first."""
    return min(seconds, key=lambda choice: seconds[choice])
