"""Measures `bge job` against its targets for throughput, memory, kills and Ray, on this machine.

    python bench/jobs_bars.py throughput [--rows 100000] [--rounds 3]
    python bench/jobs_bars.py memory     [--rows 10000]        # and ten times as many
    python bench/jobs_bars.py kills      [--rows 6000] [--kills 30]
    python bench/jobs_bars.py ray        [--rows 20000] [--rounds 3]

The corpus is a sample (with a fixed seed) of the standard library's docstrings, repeated up to the
requested number of rows, in Parquet. The compared programs run in turn, each in its own process.
The output is a table for people; its last line is JSON.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.machine import describe  # noqa: E402

WARM_ROWS = 4096

# `bge job` is compared with this program: the library encodes the same texts in one list.
LIBRARY = """
import json, sys, time
import engine
rows, keep, load = int(sys.argv[2]), sys.argv[3] == "keep", json.loads(sys.argv[4])
embedder = engine.load(**load)
with open(sys.argv[1], encoding="utf-8") as lines:
    texts = [json.loads(next(lines)) for _ in range(rows)]
embedder.encode(texts[:256], on_truncate="ignore")
began, cpu = time.perf_counter(), time.process_time()
if keep:
    embedder.encode(texts, on_truncate="ignore")
else:
    for part in embedder.stream(texts, on_truncate="ignore"):
        pass
print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}))
"""

Measured = dict[str, float]


class Bench:
    """A corpus and a model, and the two ways to embed: `bge job` and the library."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.load = {"model": asked.model, "precision": asked.precision, "threads": asked.threads}

    def corpus(self, rows: int) -> Path:
        """The path of a Parquet file with `rows` rows, id and text. It is written only once."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        from bench.texts import corpus

        path = self.folder / f"{rows}.parquet"
        if not path.exists():
            sample = random.Random(rows).choices(corpus(), k=min(rows, 10_000))
            texts = [sample[row % len(sample)] for row in range(rows)]
            pq.write_table(pa.table({"id": range(rows), "text": texts}), path)
            lines = (json.dumps(text) + "\n" for text in texts)
            path.with_suffix(".jsonl").write_text("".join(lines), "utf-8")
        return path

    def command(self, corpus: Path, out: Path, *words: object) -> list[str]:
        """The command line of `bge job`, with the additional options `words`."""
        options = [("--model", self.asked.model), ("--precision", self.asked.precision)]
        options += [("--threads", self.asked.threads), ("--id", "id"), ("-o", out)]
        said = [str(word) for option in options for word in option if option[1] is not None]
        return [*bge(), "job", str(corpus), *said, *map(str, words)]

    def job(self, corpus: Path, out: Path, *words: object) -> Measured:
        return measured(self.command(corpus, out, "--quiet", *words))[0]

    def library(self, corpus: Path, rows: int, keep: bool) -> Measured:
        kept = "keep" if keep else "drop"
        texts, load = corpus.with_suffix(".jsonl"), json.dumps(self.load)
        words = [sys.executable, "-c", LIBRARY, str(texts), str(rows), kept, load]
        usage, said = measured(words)
        return {**usage, **json.loads(said)}

    def tokens(self, out: Path) -> int:
        return int(
            json.loads((out.with_name(out.name + ".job") / "summary.json").read_text())["tokens"]
        )


def bge() -> list[str]:
    return [sys.executable, "-m", "engine"]


def measured(words: Sequence[str]) -> tuple[Measured, str]:
    """Runs a process. Returns its wall and CPU seconds, its peak memory in MB, and its output."""
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    output = process.stdout.read()
    status, usage = os.wait4(process.pid, 0)[1:]
    if status:
        raise SystemExit(f"{' '.join(words)} ended with status {status}")
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "cpu": cpu(usage), "peak_mb": usage.ru_maxrss / 1024}, output


def cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


def throughput(bench: Bench) -> dict[str, Any]:
    """The whole process of `bge job`, compared with `encode` alone of the same texts in memory."""
    rows = bench.asked.rows or 100_000
    corpus, rounds = bench.corpus(rows), []
    bench.library(corpus, 1, keep=False)  # compiles the kernels, so that no timed run does
    for number in range(bench.asked.rounds):
        out = bench.folder / f"out-{number}"
        library = bench.library(corpus, rows, keep=True)
        job = bench.job(corpus, out)
        rounds.append({"job": job, "library": library, "tokens": bench.tokens(out)})
        print(f"  round {number}: job {job['seconds']:.1f} s, encode {library['seconds']:.1f} s")
    ratio = statistics.median(r["library"]["seconds"] / r["job"]["seconds"] for r in rounds)
    effort = statistics.median(r["library"]["cpu"] / r["job"]["cpu"] for r in rounds)
    print(
        f"job / encode, rows per second: {ratio:.3f}, target 0.92 "
        f"(rows per CPU second: {effort:.3f})"
    )
    return {"rows": rows, "rounds": rounds, "ratio": ratio, "cpu_ratio": effort, "bar": 0.92}


def memory(bench: Bench) -> dict[str, Any]:
    """Peak memory of the job above that of the library, which streams the texts of one shard."""
    few = bench.asked.rows or 10_000
    bench.library(bench.corpus(few), 1, keep=False)  # compiles the kernels, so that no job does
    own = bench.library(bench.corpus(few), min(few, WARM_ROWS), keep=False)["peak_mb"]
    peaks = [
        bench.job(bench.corpus(n), bench.folder / f"m-{n}")["peak_mb"] for n in (few, 10 * few)
    ]
    over = [peak - own for peak in peaks]
    print(f"library {own:.0f} MB; job above that: {over[0]:.0f} MB with {few:,} rows, "
          f"{over[1]:.0f} MB with {10 * few:,}; target 200 MB and no growth")  # fmt: skip
    return {"rows": few, "own_mb": own, "job_mb": peaks, "over_mb": over, "bar": 200}


def kills(bench: Bench) -> dict[str, Any]:
    """Jobs that are killed with SIGKILL at random moments and rerun must write the same bytes."""
    corpus, draw = bench.corpus(bench.asked.rows or 6000), random.Random(30)
    words = ("--shard-rows", 64)
    began = time.perf_counter()
    bench.job(corpus, bench.folder / "undisturbed", *words)
    longest = (time.perf_counter() - began) / 3
    expected = contents(bench.folder / "undisturbed")
    killed = outputs = 0
    while killed < bench.asked.kills:
        out = bench.folder / f"killed-{outputs}"
        while killed < bench.asked.kills and not run_and_kill(
            bench.command(corpus, out, "--quiet", *words), draw.uniform(0, longest)
        ):
            killed += 1
        bench.job(corpus, out, *words)
        outputs += 1
        assert contents(out) == expected, f"{out} differs from an undisturbed run"
        print(f"  {killed} kills, output {outputs}: {len(expected)} files, the same bytes")
    return {"kills": killed, "outputs": outputs, "files": len(expected), "identical": True}


def run_and_kill(words: Sequence[str], seconds: float) -> bool:
    """Whether the process succeeds within `seconds`. If it takes longer, it is killed."""
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        return process.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.is_file()}


def ray(bench: Bench) -> dict[str, Any]:
    """Two local Ray nodes with one single-threaded actor each, compared with two threads."""
    from bench.jobs_cluster import two_nodes

    rows = bench.asked.rows or 20_000
    corpus, rounds = bench.corpus(rows), []
    words = ("--shard-rows", 512, "--quiet")
    for number in range(bench.asked.rounds):
        here, there = (bench.folder / f"{name}-{number}" for name in ("here", "there"))
        measured([*bench.command(corpus, here, *words, "--threads", 2)])
        with two_nodes(cpus=2) as address:
            ray_words = ("--threads", 1, "--ray", address)
            measured([*bench.command(corpus, there, *words, *ray_words)])
        assert contents(here) == contents(there), f"{there} differs from {here}"
        rounds.append({"here": steady(here), "there": steady(there)})
        print(f"  round {number}: {rounds[-1]['there']:.0f} rows/s on Ray, "
              f"{rounds[-1]['here']:.0f} without, the same bytes")  # fmt: skip
    ratio = statistics.median(r["there"] / r["here"] for r in rounds)
    print(f"Ray / job, rows per second after start-up: {ratio:.3f}, target 0.85")
    return {"rows": rows, "rounds": rounds, "ratio": ratio, "bar": 0.85}


def steady(out: Path) -> float:
    """Rows per second between the completion of the first shard and of the last one."""
    lines = [
        json.loads(line) for line in (out.with_name(out.name + ".job") / "journal.jsonl").open()
    ]
    arrived = sorted(
        ((out / next(iter(line["files"]))).stat().st_mtime, line["rows"]) for line in lines
    )
    return sum(rows for _, rows in arrived[1:]) / (arrived[-1][0] - arrived[0][0])


BARS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "throughput": throughput,
    "memory": memory,
    "kills": kills,
    "ray": ray,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bar", choices=BARS)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = BARS[asked.bar](Bench(asked, Path(folder)))
    print(json.dumps({"bench": f"jobs {asked.bar}", **describe(), **vars(asked), **found}))


if __name__ == "__main__":
    main()
