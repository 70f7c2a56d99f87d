"""Corpora for the tests of `bge job`, and ways to run it: here, or in a process to be killed."""

import contextlib
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine import jobs
from tests.support.paths import ROOT
from tests.support.texts import SENTENCES

TINY = ROOT / "weights" / "tiny"
MODEL = ("--model", str(TINY), "--offline")


def texts(count: int, seed: int = 0) -> list[str]:
    """Seeded texts of one to six sentences."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(SENTENCES, k=draw.randint(1, 6))) for _ in range(count)]


def write_parquet(path: Path, rows: Sequence[str], **columns: object) -> Path:
    ids = list(range(len(rows)))
    pq.write_table(pa.table({"id": ids, "text": list(rows), **columns}), path)
    return path


def job(*words: object) -> int:
    """Run `bge job` here with the tiny model; errors are raised, not printed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it counts cut texts itself, and warns of nothing
        return jobs.main([*map(str, words), *MODEL])


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "engine", "job", *map(str, words), *MODEL]


@contextlib.contextmanager
def running(*words: object) -> Iterator["subprocess.Popen[str]"]:
    """`bge job` with the tiny model in a process of its own, dead at the end whatever happens."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(command(*words), cwd=ROOT, text=True, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait for something that a running job brings about; fail if it ends before."""
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def results(folder: Path) -> dict[str, bytes]:
    """Everything a user reads of an output: each file's bytes by its name."""
    paths = [*sorted(folder.iterdir()), folder.with_name(folder.name + ".job") / "rejects.jsonl"]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def table(folder: Path) -> pa.Table:
    return pq.read_table(folder)


def vectors(folder: Path) -> np.ndarray:
    """The embedding column of an output, (n, D)."""
    column = table(folder).column("embedding").combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)
