"""Kills the batch queue many times, and counts lost requests and wrong or different results.

    python -m bench.queue_kills --database sqlite --kills 20

200 requests are submitted, and then a few more, while the process is killed with SIGKILL at random
moments and restarted. At the end the results of every accepted request are read twice. Each item
must be there once, in order, with its own vectors. The record goes to standard output.
"""

import argparse
import contextlib
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.serve.queue import postgres
from tests.serve.queue.process import QueueProcess, assert_right, batch

REQUESTS, ITEMS, PAUSE_S = 200, 40, 0.02


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database. kind: "sqlite" or "postgres"."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/queue.sqlite"
        return
    with postgres.cluster() as server:
        yield server.database("queue")


def run_and_kill(
    url: str, journal: Path, accepted: dict[str, int], until: int, seconds: float
) -> None:
    """Starts the process, submits requests for `seconds`, and kills it.

    accepted: the seeds of the accepted requests by id, which is extended. After `until` requests
    only one is submitted every 0.1 s.
    """
    with QueueProcess(url, pause=PAUSE_S, journal=journal) as queue:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seed = len(accepted)
            accepted[queue.submit(batch(seed, ITEMS))] = seed
            if len(accepted) >= until:
                time.sleep(min(0.1, max(0.0, end - time.monotonic())))
        queue.kill()


def wrong(queue: QueueProcess, request_id: str, seed: int) -> bool:
    """Whether the results of a request are missing or wrong, or differ between two reads."""
    try:
        first, second = (queue.finished(request_id, patience=300) for _ in range(2))
        assert_right(batch(seed, ITEMS), first)
        return first != second
    except AssertionError as error:
        print(f"request {seed} ({request_id}): {error}")
        return True


def run(kind: str, kills: int, seed: int) -> dict[str, Any]:
    """The record of one database."""
    chance = random.Random(seed)
    accepted: dict[str, int] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name, database(kind, Path(name)) as url:
        journal = Path(name) / "journal"
        for _ in range(kills):
            run_and_kill(url, journal, accepted, REQUESTS, chance.uniform(0.05, 4.0))
        with QueueProcess(url, pause=PAUSE_S, journal=journal) as queue:
            failures = sum(wrong(queue, request_id, n) for request_id, n in accepted.items())
        computed = len(journal.read_text().splitlines())
    return {
        "database": kind,
        "kills": kills,
        "requests": len(accepted),
        "items": ITEMS * len(accepted),
        "lost, wrong or answered twice": failures,
        "items computed": computed,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record = run(options.database, options.kills, options.seed)
    print(json.dumps(record, indent=2))
    return int(record["lost, wrong or answered twice"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
