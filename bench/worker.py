"""The process in which one engine lives. It answers lines of JSON, one command at a time.

    python -m bench.worker ENGINE FOLDER THREADS TEXTS.json

encode CASE FILE   vectors of a case, saved to FILE (with true after it, each text alone), and the
                   peak of memory so far
time CASE          wall and CPU seconds of one call with all texts of a case
singles CASE       the same of each text of a case, alone
products TOKENS    seconds of the matrix products of so many tokens in numpy (engine "blas")
"""

import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.checkpoints import Checkpoint
from bench.peers import find_engine

Answer = dict[str, Any]

WAKING = 16  # texts that are not timed: a process that was stopped is cold


class Worker:
    def __init__(self, engine: str, folder: str, threads: str, texts: str) -> None:
        self.cases: dict[str, list[str]] = json.loads(Path(texts).read_text("utf-8"))
        checkpoint = Checkpoint(Path(folder))
        if engine == "blas":
            from bench.ceiling import Products

            self.products = Products(checkpoint, int(threads))
        else:
            entry = find_engine(engine)
            self.engine = entry.build(checkpoint, int(threads), entry.variant)

    def do_encode(self, case: str, file: str, alone: bool = False) -> Answer:
        texts = self.cases[case]
        batches = [[text] for text in texts] if alone else [texts]
        np.save(file, np.concatenate([self.engine.encode(batch) for batch in batches]))
        return {"peak_mb": peak_mb()}

    def do_time(self, case: str) -> Answer:
        return timed(lambda: self.engine.encode(self.cases[case]))

    def do_products(self, tokens: int) -> Answer:
        return timed(lambda: self.products.run(tokens))

    def do_singles(self, case: str) -> Answer:
        for text in self.cases[case][:WAKING]:
            self.engine.encode([text])
        alone = [timed(partial(self.engine.encode, [text])) for text in self.cases[case]]
        each = {clock: [one[clock] for one in alone] for clock in ("seconds", "cpu")}
        return {"each": each} | {clock: sum(times) for clock, times in each.items()}


def timed(work: Callable[[], object]) -> Answer:
    cpu, began = time.process_time(), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def peak_mb() -> float:
    """The most memory that was ever resident; pages of mapped files count, shared ones too."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    # Answers go to what was standard output; a library that prints reaches standard error only.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    worker = Worker(*sys.argv[1:])
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        began = time.process_time()
        answer = getattr(worker, f"do_{command}")(*arguments)
        answer["spent"] = time.process_time() - began  # with what is not timed, as waking up
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
