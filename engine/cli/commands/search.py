"""`bge search`: the rows of a job's output that are nearest to a query."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser as Parser
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine import search as searching
from engine.cli import outputs
from engine.cli.options import positive, run_options

if TYPE_CHECKING:
    from engine.search.index import Hit

FILE, ROW = "file", "row"
LABEL = 40  # characters of what identifies a row


def describe(command: Parser) -> None:
    """Adds the arguments to the command's parser."""
    option = command.add_argument
    option("folder", metavar="OUTPUT", help="the folder that a finished `bge job` wrote")
    option("query", metavar="QUERY", help="a text; embedded with the model's query prompt")
    option("-k", type=positive, default=10, metavar="N", help="rows (default: %(default)s)")
    option(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="only rows that meet this; also != < <= > >= (quote them for the shell). "
        "Repeat it for more: all must hold",
    )
    option("--model", metavar="NAME", help="default: the model that the job used")
    option("--prompt", metavar="P", help="put before the query (default: the model's query prompt)")
    run_options(command)
    option("--format", choices=("table", "jsonl"), help="table on a terminal, else jsonl")


def search(options: Namespace) -> int:
    """Writes the nearest rows. Returns the exit status."""
    with searching.open(
        options.folder,
        model=options.model,
        prompt=options.prompt,
        threads=options.threads,
        offline=options.offline,
    ) as index:
        hits = index.search(options.query, options.k, where=options.where)
    form = options.format or ("table" if sys.stdout.isatty() else "jsonl")
    outputs.write_out(_table(hits, index.manifest["id"]) if form == "table" else _jsonl(hits))
    return 0


def _jsonl(hits: Sequence[Hit]) -> Iterator[str]:
    """One object per row: {"score": ..., "columns": {...}}."""
    for hit in hits:
        columns = json.dumps(hit.columns, ensure_ascii=False, default=str)
        yield f'{{"score": {hit.score:.9g}, "columns": {columns}}}\n'


def _table(hits: Sequence[Hit], id_name: str | None) -> Iterator[str]:
    """For people: the score, what identifies the row, and its first text as far as it fits."""
    if not hits:
        yield "no row meets the conditions\n"
        return
    names = {id_name} if id_name else {FILE, ROW}
    kept = [name for name in hits[0].columns if name not in names]
    text = next((name for name in kept if isinstance(hits[0].columns[name], str)), None)
    header = ["score", id_name or f"{FILE}:{ROW}"]
    rows = [[f"{hit.score:.4f}", _label(hit.columns, id_name)] for hit in hits]
    if text:
        used = sum(max(map(len, column)) + 2 for column in zip(header, *rows, strict=True))
        header.append(text)
        for row, hit in zip(rows, hits, strict=True):
            width = outputs.terminal_width() - used
            row.append(outputs.one_line(str(hit.columns[text] or ""), width))
    yield outputs.table(header, rows, right=[0])


def _label(columns: dict[str, Any], id_name: str | None) -> str:
    if id_name:
        return outputs.one_line(str(columns[id_name]), LABEL)
    label = f"{columns[FILE]}:{columns[ROW]}"
    return label if len(label) <= LABEL else "…" + label[1 - LABEL :]
