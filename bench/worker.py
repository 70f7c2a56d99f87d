"""The process in which one engine lives. It answers lines of JSON, one command at a time.

    python -m bench.worker ENGINE FOLDER THREADS TEXTS.json

encode CASE SETTINGS FILE ALONE FIRST
                            vectors of the first texts of a case (null: of all), saved to FILE; with
                            ALONE true each text alone; and the peak of memory so far
time CASE SETTINGS          wall and CPU seconds of one call with all texts of a case
singles CASE SETTINGS       the same of each text of a case, alone
tune CASE MEASURE CLOCK     the best settings for a case, and the seconds of all that were tried
products TOKENS             seconds of the matrix products of so many tokens in numpy (for "blas")

SETTINGS are texts in a batch, and batches side by side: [32, 1].
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench import tuning
from bench.checkpoints import Checkpoint
from bench.peers.batching import Engine, Settings, Setup, Vectors
from bench.peers.registry import find_engine

Answer = dict[str, Any]

WAKING = 16  # texts that are not timed: a process that was stopped is cold
AWAKE = 1.0  # seconds after which it is warm in any case


class Worker:
    def __init__(self, engine: str, folder: str, threads: str, texts: str) -> None:
        self.cases: dict[str, list[str]] = json.loads(Path(texts).read_text("utf-8"))
        self.checkpoint, self.threads = Checkpoint(Path(folder)), int(threads)
        self.engines: dict[int, Engine] = {}  # by streams; made when they are asked for
        if engine == "blas":
            from bench.ceiling import Products

            self.products = Products(self.checkpoint, self.threads)
        else:
            self.entry = find_engine(engine)

    def encode(self, texts: Sequence[str], settings: Settings) -> Vectors:
        streams = settings.streams
        if streams not in self.engines:
            setup = Setup(self.checkpoint, self.threads, self.entry.variant, streams)
            self.engines[streams] = self.entry.build(setup)
        return self.engines[streams].encode(texts, settings.batch)

    def do_encode(
        self, case: str, settings: Sequence[int], file: str, alone: bool, first: int | None
    ) -> Answer:
        texts, chosen = self.cases[case][:first], Settings(*settings)
        batches = [[text] for text in texts] if alone else [texts]
        np.save(file, np.concatenate([self.encode(batch, chosen) for batch in batches]))
        return {"peak_mb": peak_mb()}

    def do_time(self, case: str, settings: Sequence[int]) -> Answer:
        return timed(partial(self.encode, self.cases[case], Settings(*settings)))

    def do_products(self, tokens: int) -> Answer:
        return timed(lambda: self.products.run(tokens))

    def do_singles(self, case: str, settings: Sequence[int]) -> Answer:
        return self.singles(self.cases[case], Settings(*settings))

    def singles(self, texts: Sequence[str], settings: Settings) -> Answer:
        began = time.perf_counter()
        for text in texts[:WAKING]:
            self.encode([text], settings)
            if time.perf_counter() - began > AWAKE:
                break
        alone = [timed(partial(self.encode, [text], settings)) for text in texts]
        each = {clock: [one[clock] for one in alone] for clock in ("seconds", "cpu")}
        return {"each": each} | {clock: sum(times) for clock, times in each.items()}

    def do_tune(self, case: str, measure: str, clock: str) -> Answer:
        texts = self.cases[case]
        choices = tuning.candidates(self.entry.tuned, len(texts), self.threads, measure)
        if measure == "latency":
            few = texts[: tuning.LATENCY_TEXTS]
            tried = tuning.race(choices, lambda chosen: self.median(few, chosen, clock))
        else:
            few = texts[: max(tuning.BATCHES)]
            self.encode(few, choices[-1])
            one = timed(lambda: self.encode(few, choices[-1]))["seconds"] / len(few)
            some = tuning.sample(texts, one, self.threads)
            tried = tuning.race(choices, lambda chosen: self.together(some, chosen, clock))
        found = [[*astuple(chosen), round(seconds, 5)] for chosen, seconds in tried.items()]
        return {"settings": astuple(tuning.best(tried)), "tried": found}

    def together(self, texts: Sequence[str], settings: Settings, clock: str) -> float:
        """Seconds of all texts in one call."""
        return float(timed(partial(self.encode, texts, settings))[clock])

    def median(self, texts: Sequence[str], settings: Settings, clock: str) -> float:
        """Seconds of a text alone."""
        return float(statistics.median(self.singles(texts, settings)["each"][clock]))


def timed(work: Callable[[], object]) -> Answer:
    cpu, began = time.process_time(), time.perf_counter()
    work()
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def peak_mb() -> float:
    """The most memory that was ever resident; pages of mapped files count, shared ones too."""
    try:  # since this program began; what getrusage tells may be of the process that started it
        words = Path("/proc/self/status").read_text("ascii").partition("VmHWM:")[2].split()
        return int(words[0]) / 2**10
    except (OSError, IndexError):
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
