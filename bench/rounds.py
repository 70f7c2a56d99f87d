"""One run at one number of threads: settings tried, engines verified, then timed in turns."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench.checkpoints import Checkpoint
from bench.peers.batching import Settings
from bench.peers.registry import NOTHING, find_engine
from bench.start import start
from bench.texts import Case, load_cases
from bench.verify import VERIFIED, check, compare, teller, true_vectors
from bench.workers import DEFAULT, EngineFailed, Vectors, Worker, fresh_peak

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
    settings: dict[tuple[str, str], Settings] = field(default_factory=dict)  # of engine and case
    workers: dict[str, Worker] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    def worker(self, engine: str) -> Worker:
        sets = {case.name: case.texts for case in self.cases}
        return Worker(engine, self.checkpoint, self.threads, sets)

    def chosen(self, engine: str, case: str) -> Settings:
        return self.settings.get((engine, case), DEFAULT)

    def prepare(self, stack: ExitStack) -> None:
        say(f"looking up the true vectors; the first time {teller()} computes them")
        self.lengths = count_tokens(self.checkpoint, self.cases)
        self.truth = true_vectors(self.checkpoint, self.cases, self.worker)
        say("preparing the ceiling: numpy's products")
        self.workers["blas"] = stack.enter_context(self.worker("blas"))
        self.results["blas"] = {}

    def tune(self, engine: str) -> dict[str, Any]:
        """Try the settings for each case, in a process that then ends; what was tried."""
        if find_engine(engine).tuned == NOTHING:
            return {}
        say(f"tuning {engine}")
        found = {}
        with self.worker(engine) as worker:
            for case in self.cases:
                answer = worker.ask("tune", case.name, case.measure, self.clock)
                chosen = self.settings[engine, case.name] = Settings(*answer["settings"])
                found[case.name] = asdict(chosen) | {"tried": answer["tried"]}
        return {"settings": found}

    def verify(self, engine: str, stack: ExitStack) -> None:
        """Start the engine, encode every case once, and compare. A wrong one is not timed."""
        result = {"precision": find_engine(engine).precision, **self.tune(engine)}
        say(f"verifying {engine}")
        worker = stack.enter_context(self.worker(engine))
        for case in self.cases:
            settings = self.chosen(engine, case.name)
            vectors, _ = worker.encode(case.name, settings=settings, first=VERIFIED)
            compare(vectors, self.truth[case.name], result)
        check(engine, result)
        result["peak_mb"] = self.peak(engine)
        self.workers[engine], self.results[engine] = worker, result
        if self.starts:
            self.start(engine)  # untimed: files into the page cache, caches filled

    def peak(self, engine: str) -> int:
        """MB after `mixed`, in a process that does nothing else."""
        (mixed,) = load_cases(["mixed"])
        settings = self.chosen(engine, mixed.name)
        return fresh_peak(engine, self.checkpoint, self.threads, mixed.texts, settings)

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
        command = "singles" if case.measure == "latency" else "time"
        settings = self.chosen(engine, case.name)
        return worker.ask(command, case.name, (settings.batch, settings.streams))

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


def count_tokens(checkpoint: Checkpoint, cases: Sequence[Case]) -> dict[str, list[int]]:
    """Tokens of each text, special ones included, after cutting: what every engine is credited."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(checkpoint.max_tokens)
    encoded = {case.name: tokenizer.encode_batch(list(case.texts)) for case in cases}
    return {name: [len(text.ids) for text in texts] for name, texts in encoded.items()}


def say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)
