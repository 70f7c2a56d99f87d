"""Measures `engine.search`: speed against the machine's memory, and what int8 costs in recall.

    python bench/search.py speed  [--rows 1000000] [--dim 384] [--rounds 15]
    python bench/search.py recall [--model minilm] [--texts 8000]

`speed` writes random vectors of length 1, as `bge job` writes them, to a temporary folder, and
searches them in a process of its own for each layout. The files are in the page cache. `first` is
opening and the first search, without imports; `again` the median of further ones, and `best` the
fastest. The share is of what this machine reads from memory with all threads, measured in turns
with the searches. Anonymous memory is what the process needs for itself; mapped files are not in
it. Recall is against float64 of the vectors before their type was changed.

`recall` embeds docstrings, searches each 20th of them, without itself, for each dtype, and counts
how many of the 10 nearest rows of float32 the others find.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import report  # noqa: E402
from bench.checkpoints import find_checkpoint  # noqa: E402
from bench.machine import describe  # noqa: E402
from bench.texts import corpus  # noqa: E402

LAYOUTS = (
    ("npy", "float32"), ("parquet", "float32"), ("npy", "float16"), ("npy", "int8"),
    ("parquet", "int8"),
)  # fmt: skip
SHARD_ROWS, K, QUERIES = 4096, 10, 20
MEMORY_BYTES = 1 << 29
BAR_MS, BAR_RECALL = 100, 0.99


def write(folder: Path, vectors: Callable[[int], np.ndarray], rows: int, **facts: Any) -> None:
    """The output folder of a finished job. vectors: the rows from a number on, (SHARD_ROWS, D)."""
    import pyarrow as pa

    from engine.jobs.embedding import Embedded
    from engine.jobs.writing.folders import Folders
    from engine.jobs.writing.row_hashes import hash_texts, rows_of
    from engine.jobs.writing.shard_files import write_shard
    from engine.jobs.writing.shards import Key, Shard
    from engine.jobs.writing.store import Store
    from engine.jobs.writing.stored import convert

    manifest = {"version": 3, "model": "random", "id": "id", "text": {}, "inputs": [], **facts}
    with Store(Folders.of(folder), manifest, 1) as store:
        for start in range(0, rows, SHARD_ROWS):
            stop = min(start + SHARD_ROWS, rows)
            part = vectors(start)[: stop - start]
            columns = pa.table({"id": range(start, stop)})
            key, last = Key(0, start // SHARD_ROWS), stop == rows
            shard = Shard(key, last, [], [], [], columns, [], "", 1)
            marks = rows_of(hash_texts([""] * len(part)))
            work = Embedded(shard, convert(part, facts["dtype"]), marks, 0, 0)
            store.add(write_shard(store.folders, work, facts["format"], "id"))
        store.finish()


def random_rows(dim: int) -> Callable[[int], np.ndarray]:
    def rows(start: int) -> np.ndarray:
        draw = np.random.default_rng(start).standard_normal((SHARD_ROWS, dim), np.float32)
        return draw / np.linalg.norm(draw, axis=1, keepdims=True)

    return rows


def random_queries(dim: int) -> np.ndarray:
    return random_rows(dim)(2**32)[:QUERIES]


def reference(
    rows: Callable[[int], np.ndarray], count: int, queries: np.ndarray
) -> list[list[int]]:
    """The K nearest rows of each query (M, D) by float64."""
    scores = np.empty((count, len(queries)))
    for start in range(0, count, SHARD_ROWS):
        part = scores[start : start + SHARD_ROWS]
        part[:] = rows(start)[: len(part)].astype(np.float64) @ queries.T
    return [np.argsort(-column, kind="stable")[:K].tolist() for column in scores.T]


def speed(asked: argparse.Namespace) -> dict[str, Any]:
    rows = random_rows(asked.dim)
    queries = random_queries(asked.dim).astype(np.float64)
    expected = reference(rows, asked.rows, queries)
    results = []
    for form, dtype in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), rows, asked.rows, format=form, dtype=dtype, dim=asked.dim)
            found = searched(folder, asked)
        pairs = zip(found.pop("rows"), expected, strict=True)
        recall = statistics.mean(len({*a} & {*b}) / K for a, b in pairs)
        results.append({"format": form, "dtype": dtype, "recall": recall, **found})
    header = [
        "format",
        "dtype",
        "first ms",
        "again ms",
        "best ms",
        "GB/s",
        "share",
        "anon MB",
        "recall",
    ]
    lines = [
        [
            each["format"], each["dtype"], f"{each['first_ms']:.0f}", f"{each['again_ms']:.0f}",
            f"{each['gb_s']:.1f}", f"{each['gb_s'] / each['memory_gb_s']:.2f}",
            f"{each['anonymous_mb']:.0f}", f"{each['recall']:.3f}",
        ]
        for each in results
    ]  # fmt: skip
    print(report.grid([header, *lines]))
    print(f"bar: float32 again in under {BAR_MS} ms for a million x 384 on two cores")
    return {"rows": asked.rows, "dim": asked.dim, "results": results}


def searched(folder: str, asked: argparse.Namespace) -> dict[str, Any]:
    words = [sys.executable, __file__, "one", folder, "--rounds", str(asked.rounds)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def one(asked: argparse.Namespace) -> dict[str, Any]:
    """Searches one folder, in this process."""
    from engine import search
    from engine.search.index import Index  # imported before the clock starts
    from engine.system.cores import usable_cores

    folder = Path(asked.folder)
    size = sum(len(path.read_bytes()) for path in folder.glob("part-*"))  # now in the page cache
    dim = json.loads((folder.with_name(folder.name + ".job") / "manifest.json").read_text("utf-8"))[
        "dim"
    ]
    queries = random_queries(dim)
    before = anonymous_mb()
    began = time.perf_counter()
    index: Index = search.open(folder)
    found = [[hit.row for hit in index.search(queries[0], K)]]
    first = time.perf_counter() - began
    found += [[hit.row for hit in index.search(query, K)] for query in queries[1:]]
    memory_mb = anonymous_mb() - before
    read_memory = memory_reader(usable_cores())
    rounds = [
        (timed(lambda: index.search(queries[0], K)), MEMORY_BYTES / timed(read_memory) / 1e9)
        for _ in range(asked.rounds)
    ]
    again = statistics.median(seconds for seconds, _ in rounds)
    return {
        "first_ms": first * 1e3, "again_ms": again * 1e3,
        "best_ms": min(seconds for seconds, _ in rounds) * 1e3, "gb_s": size / again / 1e9,
        "memory_gb_s": statistics.median(rate for _, rate in rounds),
        "anonymous_mb": memory_mb, "rows": found,
    }  # fmt: skip


def memory_reader(threads: int) -> Callable[[], object]:
    """Reads MEMORY_BYTES of memory with all threads, as fast as a product of two vectors can."""
    from engine.system.blas import at_most

    parts = np.split(np.ones(MEMORY_BYTES // 4, np.float32), threads)
    pool = ThreadPoolExecutor(threads)

    def product(part: np.ndarray) -> np.floating:
        with at_most(1):
            return np.dot(part, part)

    return lambda: list(pool.map(product, parts))


def timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def anonymous_mb() -> float:
    """Memory of this process that is no file's, in MB."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("RssAnon:")]
    return int(line.split()[1]) / 1024


def recall(asked: argparse.Namespace) -> dict[str, Any]:
    import engine
    from engine import search

    texts = corpus()[: asked.texts]
    with engine.load(find_checkpoint(asked.model).folder) as embedder:
        vectors = embedder.encode(texts, on_truncate="ignore")
    chosen = range(0, len(texts), 20)
    found = {}
    for dtype in ("float32", "float16", "int8"):
        with tempfile.TemporaryDirectory() as folder:
            facts = {"format": "npy", "dtype": dtype, "dim": vectors.shape[1]}
            write(Path(folder), lambda start: vectors[start:][:SHARD_ROWS], len(texts), **facts)
            with search.open(folder) as index:
                hits = index.search_many(vectors[chosen], K + 1)
        rows = [[hit.row for hit in each] for each in hits]
        found[dtype] = [
            [r for r in each if r != own][:K] for own, each in zip(chosen, rows, strict=True)
        ]
    result = {
        dtype: statistics.mean(
            len({*a} & {*b}) / K for a, b in zip(rows, found["float32"], strict=True)
        )
        for dtype, rows in found.items()
    }
    lines = [[dtype, f"{value:.4f}", ""] for dtype, value in result.items()]
    print(report.grid([["dtype", f"recall@{K}", ""], *lines]))
    print(f"{len(texts)} texts, {len(chosen)} queries; bar: int8 at least {BAR_RECALL}")
    return {"texts": len(texts), "queries": len(chosen), "recall": result}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Speed and recall of searches.")
    parser.add_argument("what", choices=("speed", "recall", "one"), help="one: used by speed")
    add = parser.add_argument
    add("folder", nargs="?", help="for one")
    add("--rows", type=int, default=1_000_000)
    add("--dim", type=int, default=384)
    add("--rounds", type=int, default=15)
    add("--model", default="minilm", help="bge-shape, minilm, a known name or a folder")
    add("--texts", type=int, default=8000)
    asked = parser.parse_args(arguments)
    result = {"speed": speed, "recall": recall, "one": one}[asked.what](asked)
    print(json.dumps(result if asked.what == "one" else {**describe(), asked.what: result}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
