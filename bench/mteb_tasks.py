"""Scores on the tasks of MTEB whose data is on this machine, ours beside sentence-transformers'.

    python bench/mteb_tasks.py --model minilm [--sts stsb-en-dev.csv] [--benchmark "MTEB(eng, v2)"]

Ours run through engine.adapters.mteb. A task's data is at hand if `datasets` has it in its cache;
nothing is downloaded. --sts gives the task STSBenchmark a file (sentence, sentence, score) as its
validation split; other engines' figures on that file are in the column STS of bench/quality.py.
The tasks that could not run are named at the end.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"  # read when imported

import mteb
from datasets import Dataset, DatasetDict
from mteb.cache import ResultCache
from sentence_transformers import SentenceTransformer

from bench import report
from bench.checkpoints import find_checkpoint
from bench.texts import load_sts
from engine.adapters.mteb import EngineEncoder

PRECISIONS = ("float32", "int16", "int8")
PEER = "sentence-transformers"


def sts_from(file: Path) -> Any:
    """MTEB's task STSBenchmark with the rows of the file."""
    columns = dict(zip(("sentence1", "sentence2", "score"), load_sts(file), strict=True))
    task = mteb.get_task("STSBenchmark", eval_splits=["validation"])
    task.dataset = DatasetDict(validation=Dataset.from_dict(columns))
    task.data_loaded = True
    return task


def tasks_of(benchmark: str, sts: Path | None) -> Iterator[tuple[str, Any]]:
    """Each task's name, and the task with its data, or None where there is no data."""
    for task in mteb.get_benchmark(benchmark).tasks:
        name = task.metadata.name
        if name == "STSBenchmark" and sts:
            yield name, sts_from(sts)
            continue
        try:
            task.load_data()
        except Exception:  # of datasets and of the hub's client, of many kinds
            yield name, None
        else:
            yield name, task


def score(model: Any, task: Any) -> float:
    """The task's main score, in percent."""
    with tempfile.TemporaryDirectory() as folder:
        found = mteb.evaluate(model, task, cache=ResultCache(folder), overwrite_strategy="always")
    return 100 * float(found.task_results[0].get_score())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="MTEB's tasks that can run here.")
    add = parser.add_argument
    add("--model", default="minilm", help="minilm, bge-shape, a known name or a folder")
    add("--sts", type=Path, help="a csv file of sentence, sentence, score")
    add("--benchmark", default="MTEB(eng, v2)")
    options = parser.parse_args(arguments)
    folder = str(find_checkpoint(options.model).folder)
    models = {name: EngineEncoder(folder, precision=name) for name in PRECISIONS}
    models[PEER] = SentenceTransformer(folder, device="cpu", local_files_only=True)
    rows, left_out = [["task", *models]], []
    for name, task in tasks_of(options.benchmark, options.sts):
        if task is None:
            left_out.append(name)
        else:
            rows.append([name, *(f"{score(model, task):.3f}" for model in models.values())])
    print(report.grid(rows))
    print(f"Not run, for want of data here ({len(left_out)}): {', '.join(left_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
