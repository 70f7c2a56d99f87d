"""One run: every engine verified, then timed side by side, in turns.

    python bench/run.py --model bge-shape --rounds 5

Each engine lives in a process of its own, which is stopped while another is measured. A round asks
every engine for every case, and the rounds take the engines in rotating order, so that what the
machine does in the meantime falls on all alike. Ratios are taken within a round, then their median.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray

from bench import report
from bench.checkpoints import Checkpoint, cache_folder, find_checkpoint
from bench.machine import describe, version
from bench.peers import ENGINES, find_engine, is_installed
from bench.start import start
from bench.texts import Case, load_cases
from bench.workers import EngineFailed, Worker

Vectors = NDArray[np.float32]

EXACT = 1e-4  # a float32 engine further than this from the truth computes something else
ALIKE = 0.5  # and so does a quantised one whose cosine with it is lower


@dataclass
class Run:
    """What the options ask for, and what is found out; `results` is keyed by engine."""

    checkpoint: Checkpoint
    cases: list[Case]
    threads: int
    folder: Path
    starts: bool
    tokens: dict[str, int] = field(default_factory=dict)
    truth: dict[str, Vectors] = field(default_factory=dict)
    truth_by: str = ""
    workers: dict[str, Worker] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def texts(self) -> Path:
        return self.folder / "texts.json"

    def prepare(self, stack: ExitStack) -> None:
        self.texts.write_text(json.dumps({case.name: case.texts for case in self.cases}), "utf-8")
        self.tokens = count_tokens(self.checkpoint, self.cases)
        self.find_truth()
        say("measuring the ceiling: numpy's products")
        self.results["blas"] = {}
        self.workers["blas"] = stack.enter_context(self.worker("blas"))

    def worker(self, engine: str) -> Worker:
        return Worker(engine, self.checkpoint, self.threads, self.texts)

    def encode(self, worker: Worker, case: Case) -> tuple[Vectors, float]:
        """The vectors of a case, and the worker's peak of memory in MB after computing them."""
        file = self.folder / f"{worker.engine.replace(':', '-')}.npy"
        peak = worker.ask("encode", case.name, str(file))["peak_mb"]
        return np.load(file), peak

    # -- verify ---------------------------------------------------------------------------------

    def find_truth(self) -> None:
        """The vectors to be compared with: transformers', computed once; without it our model's."""
        self.truth_by = "transformers" if is_installed(find_engine("transformers")) else ""
        self.truth_by = self.truth_by or "ours-reference"
        said_by = version("transformers") if self.truth_by == "transformers" else time.time()
        for case in self.cases:
            key = f"{self.checkpoint.weights_hash[:12]}-{case.fingerprint[:12]}-{said_by}"
            file = cache_folder() / f"truth-{key}.npy"
            if not file.exists():
                say(f"computing the true vectors of {case.name!r} with {self.truth_by}, once")
                with self.worker(self.truth_by) as worker:
                    np.save(file, self.encode(worker, case)[0])
            self.truth[case.name] = np.load(file)

    def verify(self, engine: str, stack: ExitStack) -> None:
        """Start the engine, encode every case once, and compare. A wrong one is not timed."""
        say(f"verifying {engine}")
        worker = stack.enter_context(self.worker(engine))
        result: dict[str, Any] = {"max_difference": 0.0, "cosine_error": 0.0}
        for case in sorted(self.cases, key=lambda case: case.name != "mixed"):  # peak: mixed only
            vectors, peak = self.encode(worker, case)
            result.setdefault("peak_mb", round(peak))
            compare(vectors, self.truth[case.name], result)
        check(engine, result)
        if self.starts:
            start(engine, self.checkpoint, self.threads)
        self.workers[engine] = worker
        self.results[engine] = result

    # -- time -----------------------------------------------------------------------------------

    def round(self, turn: int) -> None:
        names = list(self.workers)
        turn %= len(names)
        for engine in names[turn:] + names[:turn]:
            try:
                self.measure(engine)
            except EngineFailed as failure:
                self.give_up(engine, str(failure))

    def measure(self, engine: str) -> None:
        """One engine's turn: every case, then one start of a whole process."""
        figures: dict[str, float] = {}
        noise: list[tuple[float, float]] = []
        for case in self.cases:
            if engine == "blas" and case.measure == "latency":
                continue
            answer = self.time(engine, case)
            noise.append((answer["others"], answer["seconds"]))
            if case.measure == "latency":
                for percent in (50, 95):
                    value = float(np.percentile(answer["milliseconds"], percent))
                    figures[f"{case.name} p{percent} ms"] = value
            else:
                figures[f"{case.name} tok/s"] = self.tokens[case.name] / answer["seconds"]
        if self.starts and engine != "blas":
            figures["start s"] = start(engine, self.checkpoint, self.threads)
        rounds = self.results[engine].setdefault("rounds", {})
        for name, value in figures.items():
            rounds.setdefault(name, []).append(round(value, 4))
        self.results[engine].setdefault("noise", []).extend(noise)

    def time(self, engine: str, case: Case) -> dict[str, Any]:
        worker = self.workers[engine]
        if engine == "blas":
            return worker.ask("products", self.tokens[case.name])
        if case.measure == "latency":
            worker.ask("singles", case.name)  # awake and warm: stopped processes cool down
            return worker.ask("singles", case.name)
        return worker.ask("time", case.name)

    def give_up(self, engine: str, why: str) -> None:
        say(f"{engine} is left out: {why}")
        self.results[engine] = {"failed": why}
        self.workers.pop(engine, None)


def compare(vectors: Vectors, truth: Vectors, result: dict[str, Any]) -> None:
    if vectors.shape != truth.shape or not np.isfinite(vectors).all():
        raise EngineFailed(f"gave {vectors.shape} numbers, not all finite, for {truth.shape}")
    exact = vectors.astype(np.float64), truth.astype(np.float64)
    difference = float(np.abs(exact[0] - exact[1]).max())
    lengths = np.linalg.norm(exact[0], axis=1) * np.linalg.norm(exact[1], axis=1)
    error = float((1 - (exact[0] * exact[1]).sum(axis=1) / lengths).max())
    result["max_difference"] = max(result["max_difference"], difference)
    result["cosine_error"] = max(result["cosine_error"], error)


def check(engine: str, result: dict[str, Any]) -> None:
    if find_engine(engine).exact and result["max_difference"] > EXACT:
        raise EngineFailed(f"its vectors are wrong, by {result['max_difference']:.1e}")
    if result["cosine_error"] > 1 - ALIKE:
        raise EngineFailed(f"its vectors are wrong, cosine {1 - result['cosine_error']:.3f}")


def count_tokens(checkpoint: Checkpoint, cases: Sequence[Case]) -> dict[str, int]:
    """Tokens of each case, special ones included, after cutting: what every engine is credited."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(checkpoint.max_tokens)
    encoded = {case.name: tokenizer.encode_batch(list(case.texts)) for case in cases}
    return {name: sum(len(text.ids) for text in texts) for name, texts in encoded.items()}


def choose(asked: str) -> list[str]:
    names = list(ENGINES) if asked == "all" else asked.split(",")
    there = [name for name in names if is_installed(find_engine(name))]
    for name in (name for name in names if name not in there):
        say(f"{name} is not installed: pip install -e '.[bench,reference]'")
    return there


def say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


def perform(options: argparse.Namespace) -> dict[str, Any]:
    """The whole run, as a record."""
    began = time.monotonic()
    cases = load_cases(options.cases.split(",") if options.cases else ())
    checkpoint = find_checkpoint(options.model)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        starts = not options.quick
        run = Run(checkpoint, cases, options.threads, Path(folder), starts)
        run.prepare(stack)
        for engine in choose(options.engines):
            try:
                run.verify(engine, stack)
            except EngineFailed as failure:
                run.give_up(engine, str(failure))
        timing = time.monotonic()
        for turn in range(options.rounds):
            say(f"round {turn + 1} of {options.rounds}")
            run.round(turn)
            passed = time.monotonic()
            if passed + (passed - timing) / (turn + 1) > began + 60 * options.minutes:
                say(f"stopped after {turn + 1} rounds: the next would pass {options.minutes} min")
                break
    return report.record(run, describe() | {"model": options.model, "minutes": options.minutes})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Every engine verified, then timed side by side.")
    add = parser.add_argument
    add("--model", default="bge-shape", help="bge-shape, minilm, a known name or a folder")
    add("--engines", default="all", help="names, with commas: " + ", ".join(ENGINES))
    add("--cases", default="", help="names of cases.toml, with commas; otherwise all")
    add("--rounds", type=int, default=5)
    add("--threads", type=int, default=2)
    add("--minutes", type=float, default=15.0, help="no new round that would end later than this")
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
