"""bench/mteb_tasks.py: a task with a file's rows, and the tasks that have no data here."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.quality import spearman
from tests.conftest import Load
from tests.support.paths import ROOT

PAIRS = [
    ("the red fox", "a red fox", 4.5), ("the red fox", "a blue box", 1.0),
    ("it is small", "it is a small one", 4.0), ("green", "the old one is green", 2.5),
    ("a box of glass", "a red fox", 0.0), ("one two", "two one", 3.5),
]  # fmt: skip


def test_a_file_is_a_task_and_the_rest_is_named(load: Load, tmp_path: Path) -> None:
    with (tmp_path / "sts.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(PAIRS)
    words = ["bench/mteb_tasks.py", "--model", "weights/tiny", "--sts", str(tmp_path / "sts.csv")]
    empty = {"HF_HOME": str(tmp_path / "hub"), "MTEB_CACHE": str(tmp_path / "mteb")}
    run = subprocess.run(
        [sys.executable, *words, "--benchmark", "MTEB(eng, v2)"],
        cwd=ROOT, env=os.environ | empty, capture_output=True, text=True, check=True,
    )  # fmt: skip
    head, row, left_out = run.stdout.splitlines()
    assert head.split() == ["task", "float32", "int16", "int8", "sentence-transformers"]
    name, *scores = row.split()
    left, right, wanted = zip(*PAIRS, strict=True)
    embedder = load("tiny", "float32")
    cosines = np.sum(embedder.encode(left) * embedder.encode(right), axis=1)
    assert name == "STSBenchmark"
    assert float(scores[0]) == float(scores[-1])
    assert float(scores[0]) == pytest.approx(100 * spearman(cosines, wanted), abs=5e-4)
    assert left_out.startswith("Not run, for want of data here (40): ArguAna, ")
