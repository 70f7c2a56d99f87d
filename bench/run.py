"""One run: every engine verified, then timed side by side, in turns.

    python bench/run.py --model bge-shape --rounds 5

Each engine lives in a process of its own, which is stopped while another is measured. A round asks
every engine for every case, and the rounds take the engines in rotating order, so that what the
machine does in the meantime falls on all alike. Ratios are taken within a round, then their median.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from bench import report
from bench.checkpoints import Checkpoint, find_checkpoint
from bench.machine import describe
from bench.peers import ENGINES, find_engine, is_installed
from bench.start import start
from bench.texts import Case, load_cases
from bench.verify import check, compare, teller, true_vectors
from bench.workers import EngineFailed, Vectors, Worker

Answer = dict[str, Any]


@dataclass
class Run:
    """What the options ask for, and what is found out; `workers` and `results` go by engine."""

    checkpoint: Checkpoint
    cases: Sequence[Case]
    threads: int
    starts: bool
    clock: str  # "seconds" of the wall, or of the "cpu"
    lengths: dict[str, list[int]] = field(default_factory=dict)  # of a case's texts, in tokens
    truth: dict[str, Vectors] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def worker(self, engine: str) -> Worker:
        sets = {case.name: case.texts for case in self.cases}
        return Worker(engine, self.checkpoint, self.threads, sets)

    def prepare(self, stack: ExitStack) -> None:
        say(f"looking up the true vectors; the first time {teller()} computes them")
        self.lengths = count_tokens(self.checkpoint, self.cases)
        self.truth = true_vectors(self.checkpoint, self.cases, self.worker)
        say("preparing the ceiling: numpy's products")
        self.workers["blas"] = stack.enter_context(self.worker("blas"))
        self.results["blas"] = {}

    def verify(self, engine: str, stack: ExitStack) -> None:
        """Start the engine, encode every case once, and compare. A wrong one is not timed."""
        say(f"verifying {engine}")
        worker = stack.enter_context(self.worker(engine))
        result: dict[str, Any] = {}
        for case in sorted(self.cases, key=lambda case: case.name != "mixed"):  # peak: mixed only
            vectors, peak = worker.encode(case.name)
            result.setdefault("peak_mb", round(peak))
            compare(vectors, self.truth[case.name], result)
        check(engine, result)
        self.workers[engine], self.results[engine] = worker, result
        if self.starts:
            self.start(engine)  # untimed: files into the page cache, caches filled

    def rounds(self, count: int, until: float) -> None:
        for turn in range(count):
            say(f"round {turn + 1} of {count}")
            began = time.monotonic()
            self.round(turn)
            now = time.monotonic()
            if turn + 1 < count and now + (now - began) > until:
                say(f"stopped after {turn + 1} of {count} rounds: the time is up")
                return

    def round(self, turn: int) -> None:
        names = list(self.workers)
        shift = turn % len(names)
        for engine in names[shift:] + names[:shift]:
            if engine != "blas" and turn >= find_engine(engine).rounds:
                continue
            try:
                self.measure(engine)
            except EngineFailed as failure:
                self.give_up(engine, failure)

    def measure(self, engine: str) -> None:
        """One engine's turn: every case, then the start of a whole process."""
        figures: dict[str, float] = {}
        for case in self.cases:
            if engine == "blas" and case.measure == "latency":
                continue
            answer = self.time(engine, case)
            figures |= self.figures(case, answer)
            clocks = self.results[engine].setdefault("clocks", [])
            clocks.append([answer[clock] for clock in ("seconds", "cpu", "others")])
        if self.starts and engine != "blas" and "start failed" not in self.results[engine]:
            figures |= self.start(engine)
        rounds = self.results[engine].setdefault("rounds", {})
        for name, value in figures.items():
            rounds.setdefault(name, []).append(round(value, 4))

    def time(self, engine: str, case: Case) -> Answer:
        worker = self.workers[engine]
        if engine == "blas":
            return worker.ask("products", sum(self.lengths[case.name]))
        return worker.ask("singles" if case.measure == "latency" else "time", case.name)

    def figures(self, case: Case, answer: Answer) -> dict[str, float]:
        if case.measure == "throughput":
            return {f"{case.name} tok/s": sum(self.lengths[case.name]) / answer[self.clock]}
        each = 1e3 * np.array(answer["each"][self.clock])
        return {f"{case.name} p{p} ms": float(np.percentile(each, p)) for p in (50, 95)}

    def start(self, engine: str) -> dict[str, float]:
        try:
            return {"start s": start(engine, self.checkpoint, self.threads)}
        except EngineFailed as failure:
            say(f"{engine} does not start as a process of its own: {failure}")
            self.results[engine]["start failed"] = str(failure)
            return {}

    def give_up(self, engine: str, why: EngineFailed) -> None:
        say(f"{engine} is left out: {why}")
        self.results[engine] = {"failed": str(why)}
        self.workers.pop(engine, None)


def record(run: Run, facts: Mapping[str, Any]) -> report.Record:
    """Everything measured: each round's figures, medians, ratios, noise; where and with what."""
    return {
        **facts,
        "weights": run.checkpoint.weights_hash,
        "threads": run.threads,
        "clock": "wall" if run.clock == "seconds" else "cpu",
        "truth": teller(),
        "cases": {
            case.name: {
                "texts": len(case.texts),
                "tokens": sum(run.lengths[case.name]),
                "padding": round(report.padding(run.lengths[case.name]), 3),
                "sha256": case.fingerprint,
            }
            for case in run.cases
        },
        "gflop_per_token": 2e-9 * run.checkpoint.products_per_token,
        "noise": report.noise(run.results.values()),
        "engines": {name: report.summary(name, run.results) for name in run.results},
    }


def count_tokens(checkpoint: Checkpoint, cases: Sequence[Case]) -> dict[str, list[int]]:
    """Tokens of each text, special ones included, after cutting: what every engine is credited."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(checkpoint.max_tokens)
    encoded = {case.name: tokenizer.encode_batch(list(case.texts)) for case in cases}
    return {name: [len(text.ids) for text in texts] for name, texts in encoded.items()}


def choose(asked: str) -> list[str]:
    names = list(ENGINES) if asked == "all" else asked.split(",")
    there = [name for name in names if is_installed(find_engine(name))]
    for name in (name for name in names if name not in there):
        say(f"{name} is not installed: pip install -e '.[bench]'")
    return there


def say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


def perform(options: argparse.Namespace) -> dict[str, Any]:
    """The whole run, as a record."""
    began = time.monotonic()
    cases = load_cases(options.cases.split(",") if options.cases else ())
    checkpoint = find_checkpoint(options.model)
    clock = "cpu" if options.cpu_time else "seconds"
    run = Run(checkpoint, cases, options.threads, not options.quick, clock)
    with ExitStack() as stack:
        run.prepare(stack)
        for engine in choose(options.engines):
            try:
                run.verify(engine, stack)
            except EngineFailed as failure:
                run.give_up(engine, failure)
        try:
            run.rounds(options.rounds, until=began + 60 * options.minutes)
        except KeyboardInterrupt:
            say("interrupted: what was measured so far is reported")
    return record(run, describe() | {"model": options.model, "minutes": options.minutes})


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no worker is left behind
    parser = argparse.ArgumentParser(description="Every engine verified, then timed side by side.")
    add = parser.add_argument
    add("--model", default="bge-shape", help="bge-shape, minilm, a known name or a folder")
    add("--engines", default="all", help="names, with commas: " + ", ".join(ENGINES))
    add("--cases", default="", help="names of cases.toml, with commas; otherwise all")
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=2)
    add("--minutes", type=float, default=15.0, help="no new round that would end later than this")
    add("--cpu-time", action="store_true", help="count CPU seconds: for a busy machine, 1 thread")
    add("--quick", action="store_true", help="without the starts of whole processes")
    add("--record", action="store_true", help="write bench/records/<date>-<machine>-<model>.json")
    options = parser.parse_args(arguments)
    result = perform(options)
    print(report.tables(result))
    if options.record:
        print(f"recorded in {report.save(result)}")
    print(json.dumps(result))
    return 1 if any("failed" in each for each in result["engines"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
