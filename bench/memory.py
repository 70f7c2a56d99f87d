"""Measures peak memory for the mixed case, and for ten times as many texts. It must not grow.

    python bench/memory.py --model bge-shape [--engines ours-float32,onnxruntime]

Each value is the peak of a new process that loads the model and encodes the texts once. It includes
the interpreter and the libraries. Resident pages of memory-mapped files are counted too, although
processes share them.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import report
from bench.checkpoints import Checkpoint, find_checkpoint
from bench.rounds import say
from bench.run import choose
from bench.texts import load_cases
from bench.workers import Sets, Worker, fresh_peak

TIMES = 10


def peaks(engine: str, checkpoint: Checkpoint, threads: int, sets: Sets) -> dict[str, int]:
    """MB for each set, each in a process of its own, after one that prepares what is missing."""
    say(f"{engine}: preparing")
    with Worker(engine, checkpoint, threads, {"word": ["hello"]}) as worker:
        worker.encode("word")
    found = {}
    for name, texts in sets.items():
        say(f"{engine}, {name}")
        found[name] = fresh_peak(engine, checkpoint, threads, texts)
    return found


def many(texts: Sequence[str]) -> list[str]:
    """TIMES as many texts; no two are equal."""
    return [f"{text} {at}" for at in range(TIMES) for text in texts]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Peak memory, and whether it grows with the number of texts."
    )
    add = parser.add_argument
    add("--model", default="bge-shape", help="bge-shape, minilm, a known name or a folder")
    add("--engines", default="ours-float32,ours-int16,ours-int8", help="names, with commas")
    add("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    checkpoint = find_checkpoint(options.model)
    (mixed,) = load_cases(["mixed"])
    sets = {"once": mixed.texts, "ten times": many(mixed.texts)}
    names = choose(options.engines)
    result = {name: peaks(name, checkpoint, options.threads, sets) for name in names}
    rows = [[name, *(f"{mb:,.0f}" for mb in each.values())] for name, each in result.items()]
    print(report.grid([["peak MB", *sets], *rows]))
    print(json.dumps({"model": options.model, "engines": result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
