"""Measures the cost of each stage of a job, and estimates the time and cost of larger corpora.

    python bench/jobs_planning.py [--model minilm] [--model bge-shape] [--precision int8] [--write]

The output is a page in Markdown, and one line of JSON. --write also writes the page to
bench/planning.md.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.jobs_stages import FORMATS, SHARD_ROWS, Costs, measure
from bench.machine import describe

DOLLARS_PER_MILLION = 0.067  # Cloudflare's price of bge-base-en-v1.5 on Workers AI
PAGE = Path(__file__).with_name("planning.md")
SIZES = (1_000_000, 100_000_000, 10_000_000_000)
CORES = (2, 64, 2048)
DAY = 86_400
LABELS = {"minilm": "all-MiniLM-L6-v2", "bge-shape": "bge-base's shape, seeded weights"}


def page(costs: Sequence[Costs], machine: dict[str, Any], dollars: float) -> str:
    """The page in Markdown: the measured values, then the estimates.

    dollars: the price of one core for one hour.
    """
    parts = (head(machine, costs[0]), stages(costs), sizes(costs, dollars), limits(costs))
    return "\n".join(line for part in parts for line in part)


def head(machine: dict[str, Any], first: Costs) -> Iterator[str]:
    cpu, cores = machine["machine"]["cpu"], machine["machine"]["cores"]
    yield f"""\
# Planning large jobs

Written by `python bench/jobs_planning.py --write` on {machine["date"][:10]}: {cpu},
{cores} cores, commit {machine["commit"]}. Every number was measured on that machine, or is computed
from measured ones. Run the script on your own machine before you rent many machines.

A document here has {first.characters:,.0f} characters: joined paragraphs of docstrings. Reading,
tokenizing and computing cost more for longer documents; writing does not.
"""


def stages(costs: Sequence[Costs]) -> Iterator[str]:
    yield "## Cost of one document, in microseconds of one core\n"
    names = [*(f"read {form}" for form in FORMATS), "tokenize", "compute", "write"]
    yield table_head("model", "tokens", *names, "tokens/s per core, all stages")
    for cost in costs:
        seconds = (*(cost.read[form] for form in FORMATS), cost.tokenize, cost.compute, cost.write)
        yield row(
            label(cost),
            f"{cost.tokens:.0f}",
            *(f"{1e6 * value:,.0f}" for value in seconds),
            f"{cost.tokens / cost.total:,.0f}",
        )
    yield ""


def sizes(costs: Sequence[Costs], dollars: float) -> Iterator[str]:
    yield f"""\
## Cost of a corpus

Core-hours include all stages above; documents are read from Parquet. Hours on more cores than this
machine has assume that the throughput is proportional to the number of cores, which holds within
the limits below. Cost is core-hours at ${dollars:g} each (an assumption; set your price by
`--dollars`). API is Cloudflare's price for the same tokens with bge-base-en-v1.5,
${DOLLARS_PER_MILLION} per million."""
    for cost in costs:
        yield f"\n**{label(cost)}**\n"
        hours = (f"hours on {number:,}" for number in CORES)
        yield table_head("documents", "tokens", "core-hours", *hours, "cost", "API", "output")
        yield from (size(cost, documents, dollars) for documents in SIZES)
    yield ""


def size(cost: Costs, documents: int, dollars: float) -> str:
    hours, tokens = documents * cost.total / 3600, documents * cost.tokens
    return row(
        f"{documents:,}",
        f"{tokens / 1e9:,.2f} G",
        f"{hours:,.1f}",
        *(f"{hours / number:,.2f}" for number in CORES),
        f"${hours * dollars:,.2f}",
        f"${tokens / 1e6 * DOLLARS_PER_MILLION:,.2f}",
        f"{documents * cost.output_bytes / 1e9:,.1f} GB",
    )


def limits(costs: Sequence[Costs]) -> Iterator[str]:
    yield """\
## Bottlenecks

On one machine all stages share the cores, so the stage with the largest share is the bottleneck. On
a cluster cores can be added. But a file has one reader, a shard has one writer, and a job has one
journal. Each of them can serve only a limited number of computing cores."""
    for cost in costs:
        yield f"\n**{label(cost)}**\n"
        yield "\n".join(limit(cost, documents) for documents in SIZES)
        yield ""
        yield table_head("", "computing cores that it can serve")
        fed = sorted(cost.cores_fed().items(), key=lambda item: item[1])
        yield from (row(name, f"{cores:,.0f}") for name, cores in fed)
    yield ""


def limit(cost: Costs, documents: int) -> str:
    """One line: the bottleneck if `documents` are embedded within a day, and what they need."""
    cores = documents * (cost.tokenize + cost.compute) / DAY
    shards, output = documents / SHARD_ROWS, documents * cost.output_bytes
    name, share = max(cost.stages.items(), key=lambda item: item[1])
    fed = cost.cores_fed()
    need = {other: cores / fed[other] for other in ("one reader of parquet", "one writer")}
    journal = cores / fed["the one journal"]
    bottleneck = f"{name} ({share:.0%} of all work)"
    if journal > 1:
        bottleneck = "the journal: split the corpus into several jobs"
    return (
        f"- {documents:,} in a day: {bottleneck}. {plural(cores, 'computing core')}, "
        f"{plural(need['one reader of parquet'], 'reader')} (with at least as many files), "
        f"{plural(need['one writer'], 'writer')} with {output / DAY / 1e6:,.1f} MB/s to one file "
        f"system, {plural(shards, 'shard')}; the journal is busy {journal:.1%} of the time, "
        f"grows to {shards * cost.journal_bytes / 1e6:,.1f} MB, and takes "
        f"{shards * cost.journal_memory / 1e6:,.1f} MB of memory."
    )


def label(cost: Costs) -> str:
    return f"{LABELS.get(cost.model, cost.model)}, {cost.precision}"


def plural(count: float, what: str) -> str:
    whole = max(1, -(-count // 1))
    return f"{whole:,.0f} {what}{'' if whole == 1 else 's'}"


def table_head(*names: str) -> str:
    return row(*names) + "\n" + "|---" * len(names) + "|"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", action="append", help="minilm, bge-shape, a name or a folder")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--rows", type=int, default=256, help="documents to compute each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dollars", type=float, default=0.04, help="price of a core for an hour")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    asked = parser.parse_args()
    models = asked.model or ["minilm", "bge-shape"]
    costs = [measure(model, asked.precision, asked.rows, asked.rounds) for model in models]
    machine = describe()
    text = page(costs, machine, asked.dollars)
    if asked.write:
        PAGE.write_text(text, "utf-8")
    print(text)
    print(json.dumps({"bench": "jobs planning", **machine, "costs": [asdict(c) for c in costs]}))


if __name__ == "__main__":
    main()
