"""Measures the accuracy of each precision: the error of its vectors, and the effect on retrieval.

    python bench/quality.py --model minilm [--sts stsb-en-dev.csv]

For 200 texts of mixed lengths:

- the cosine of each vector with our float32 vector;
- the error of every pairwise similarity;
- the largest difference from sentence-transformers;
- the largest change of a vector if its text is encoded alone instead of with the others.

For retrieval over docstrings: the share of float32's ten best documents per query that are found.
With --sts, a file of (sentence, sentence, score): 100 x Spearman's correlation with the human
scores. The STS Benchmark is such a file; its licence does not let us distribute it.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray

from bench import report
from bench.checkpoints import Checkpoint, find_checkpoint
from bench.machine import describe
from bench.rounds import say
from bench.run import usable
from bench.texts import load_retrieval, load_sts
from bench.workers import EngineFailed, Sets, Worker
from tests.support.texts import mixed_texts

Vectors = NDArray[np.float64]
Encoded = dict[str, Vectors]

OURS = ("ours-float32", "ours-int16", "ours-int8")
PEERS = (
    *("onnxruntime", "sentence-transformers", "openvino-bf16", "onnxruntime-int8"),
    *("openvino-int8", "ctranslate2-int8", "torch-int8"),
)
TOP = 10

COLUMNS = {
    "1 - cos, mean": "cosine_mean",
    "max": "cosine_max",
    "pairwise, max": "pairwise_max",
    "by s-t, max |d|": "reference_max",
    "alone, max |d|": "alone_max",
    "overlap@10": "overlap",
    "STS": "sts",
}


def load_sets(sts: Path | None) -> tuple[dict[str, Sequence[str]], list[float]]:
    """The named lists of texts, and the scores of the STS pairs (empty without `sts`)."""
    sets: dict[str, Sequence[str]] = {"texts": mixed_texts(), **load_retrieval()}
    if sts is None:
        return sets, []
    left, right, scores = load_sts(sts)
    return {**sets, "left": left, "right": right}, scores


def encode_all(engine: str, checkpoint: Checkpoint, threads: int, sets: Sets) -> Encoded:
    """The vectors of every set, by name. "alone": the texts again, encoded one at a time."""
    say(f"encoding with {engine}")
    with Worker(engine, checkpoint, threads, sets) as worker:
        encoded = {name: worker.encode(name)[0].astype(np.float64) for name in sets}
        encoded["alone"] = worker.encode("texts", alone=True)[0].astype(np.float64)
    return encoded


def judge(
    ours: Encoded, base: Encoded, reference: Encoded | None, scores: Sequence[float]
) -> dict[str, float]:
    errors = 1 - np.sum(ours["texts"] * base["texts"], axis=1) / lengths(ours, base)
    result = {
        "cosine_mean": float(errors.mean()),
        "cosine_max": float(errors.max()),
        "pairwise_max": farthest(pairwise(ours["texts"]), pairwise(base["texts"])),
        "alone_max": farthest(ours["alone"], ours["texts"]),
        "overlap": overlap(found(ours), found(base)),
    }
    if reference is not None:
        result["reference_max"] = farthest(ours["texts"], reference["texts"])
    if scores:
        result["sts"] = 100 * spearman(np.sum(ours["left"] * ours["right"], axis=1), scores)
    return result


def lengths(a: Encoded, b: Encoded) -> Vectors:
    product: Vectors = np.linalg.norm(a["texts"], axis=1) * np.linalg.norm(b["texts"], axis=1)
    return product


def pairwise(vectors: Vectors) -> Vectors:
    similarities: Vectors = vectors @ vectors.T
    return similarities


def farthest(a: Vectors, b: Vectors) -> float:
    return float(np.abs(a - b).max())


def found(encoded: Encoded) -> NDArray[np.intp]:
    """For each query, the indices of the TOP most similar documents, (queries, TOP)."""
    similarities = encoded["queries"] @ encoded["documents"].T
    return np.argsort(-similarities, axis=1, kind="stable")[:, :TOP]


def overlap(ours: NDArray[np.intp], base: NDArray[np.intp]) -> float:
    """The share of the base's documents that are also found, averaged over the queries."""
    shared = [len(set(a) & set(b)) for a, b in zip(ours.tolist(), base.tolist(), strict=True)]
    return sum(shared) / (len(shared) * TOP)


def spearman(a: Sequence[float] | Vectors, b: Sequence[float] | Vectors) -> float:
    """Spearman's correlation. Equal values get the average of their ranks."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def ranks(values: Sequence[float] | Vectors) -> Vectors:
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    average: Vectors = (last - (count - 1) / 2)[place]
    return average


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [["engine", *COLUMNS]]
    for name, result in results.items():
        failed = [str(result["failed"])] if "failed" in result else []
        rows.append([name, *(failed or [cell(key, result.get(key)) for key in COLUMNS.values()])])
    return report.grid(rows)


def cell(key: str, value: float | None) -> str:
    if value is None:
        return ""
    if key == "overlap":
        return f"{value:.4f}"
    return f"{value:.3f}" if key == "sts" else f"{value:.1e}"


def perform(options: argparse.Namespace) -> dict[str, Any]:
    checkpoint = find_checkpoint(options.model)
    sets, scores = load_sets(options.sts)
    encoded: dict[str, Encoded] = {}
    results: dict[str, dict[str, Any]] = {}
    for engine in dict.fromkeys((options.base, *options.engines.split(","))):
        if not usable(engine):
            continue
        try:
            encoded[engine] = encode_all(engine, checkpoint, options.threads, sets)
        except EngineFailed as failure:
            results[engine] = {"failed": str(failure)}
    if options.base not in encoded:
        raise SystemExit(
            f"the base engine {options.base} failed, so nothing can be compared: "
            f"{results[options.base]['failed']}"
        )
    reference = encoded.get("sentence-transformers")
    for engine, ours in encoded.items():
        results[engine] = judge(ours, encoded[options.base], reference, scores)
    counts = {name: len(texts) for name, texts in sets.items()}
    facts = {"model": options.model, "base": options.base, "sets": counts}
    return describe() | facts | {"engines": results}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The accuracy of each precision.")
    add = parser.add_argument
    add("--model", default="minilm", help="minilm, bge-shape, a known name or a folder")
    add("--engines", default=",".join((*OURS, *PEERS)), help="names, with commas")
    add("--base", default="ours-float32", help="the engine to compare with")
    add("--sts", type=Path, help="a csv file of sentence, sentence, score")
    add("--threads", type=int, default=2)
    add("--record", action="store_true", help="write bench/records/<date>-<machine>-quality-...")
    options = parser.parse_args(arguments)
    result = perform(options)
    print(table(result["engines"]))
    print(f"Against {result['base']}; {result['model']}; {result['sets']}")
    if options.record:
        print(f"recorded in {report.save(result, 'quality')}")
    print(json.dumps(result))
    return 1 if any("failed" in each for each in result["engines"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
