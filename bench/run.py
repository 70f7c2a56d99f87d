"""One run: every engine at its best settings, verified, then timed side by side, in turns.

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
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import report
from bench.checkpoints import find_checkpoint
from bench.machine import describe
from bench.peers.registry import ENGINES, find_engine, is_able, is_installed
from bench.rounds import Run, say
from bench.texts import load_cases
from bench.verify import teller
from bench.workers import EngineFailed
from engine.system.cores import usable_cores


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
                "sha256": case.fingerprint,
            }
            for case in run.cases
        },
        "gflop_per_token": 2e-9 * run.checkpoint.products_per_token,
        "noise": report.noise(run.results.values()),
        "engines": {name: report.summary(name, run.results) for name in run.results},
    }


def choose(asked: str) -> list[str]:
    names = list(ENGINES) if asked == "all" else asked.split(",")
    return [name for name in names if usable(name)]


def usable(engine: str) -> bool:
    """Whether it is installed and this CPU can run it; says why not."""
    entry = find_engine(engine)
    if not is_installed(entry):
        say(f"{engine} is not installed: pip install -e '.[bench]'")
    elif not is_able(entry):
        say(f"{engine} is left out: this CPU has no bfloat16")
    else:
        return True
    return False


def thread_counts(asked: str, cores: int) -> list[int]:
    """ "2" is one run; "1,2,all" is a run for each, "all" being the machine's cores."""
    return sorted({cores if word == "all" else int(word) for word in asked.split(",")})


def perform(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """The whole run at so many threads, as a record."""
    cases = load_cases(options.cases.split(",") if options.cases else (), quick=options.quick)
    checkpoint = find_checkpoint(options.model)
    clock = "cpu" if options.cpu_time else "seconds"
    run = Run(checkpoint, cases, threads, not options.quick, clock)
    with ExitStack() as stack:
        run.prepare(stack)
        for engine in choose(options.engines):
            try:
                run.verify(engine, stack)
            except EngineFailed as failure:
                run.give_up(engine, failure)
        try:
            run.rounds(options.rounds, until=time.monotonic() + 60 * options.minutes)
        except KeyboardInterrupt:
            say("interrupted: what was measured so far is reported")
    return record(run, describe() | {"model": options.model, "minutes": options.minutes})


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Every engine verified, then timed side by side.")
    add = parser.add_argument
    add("--model", default="bge-shape", help="bge-shape, minilm, a known name or a folder")
    add("--engines", default="all", help="names, with commas: " + ", ".join(ENGINES))
    add("--cases", default="", help="names of cases.toml, with commas; otherwise all")
    add("--rounds", type=int, default=5)
    add("--threads", default="2", help='"1,2,all" is a run for each, one after another')
    add("--minutes", type=float, default=15.0, help="no new round that would end later than this")
    add("--cpu-time", action="store_true", help="count CPU seconds: for a busy machine, 1 thread")
    add("--quick", action="store_true", help="fewer texts in bulk; no starts of whole processes")
    add("--record", action="store_true", help="write bench/records/<date>-<machine>-<model>.json")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no worker is left behind
    options = parse(arguments)
    counts = thread_counts(options.threads, usable_cores())
    results = []
    for threads in counts:
        result = perform(options, threads)
        results.append(result)
        print(report.tables(result), flush=True)
        if options.record:
            kind = f"{threads}-threads" if len(counts) > 1 else ""
            print(f"recorded in {report.save(result, kind)}")
    if len(results) > 1:
        print(report.by_threads(results))
    for result in results:
        print(json.dumps(result))
    return 1 if any("failed" in each for one in results for each in one["engines"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
