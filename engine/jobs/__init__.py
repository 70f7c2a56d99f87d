"""Corpora: files in, vectors out, on one machine or on a Ray cluster.

    bge job reviews.parquet --text "{title}\\n{body}" --id review_id -o vectors/

Read in this order: `options` and `arguments` (what may be asked); the folder `reading` (files to
rows); `writing/shards` (rows to units of work); `embedding` (a shard's texts to its vectors); the
rest of `writing` (what is on disk, and what a second run finds there); `job`, `pipeline` and
`corpus` (one machine); `update` (a later table with the vectors of an earlier one); `cluster` and
`ray` (many machines).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser


def main(argv: Sequence[str]) -> int:
    """Run `bge job` with these arguments and return its exit status.

    0: every row is embedded; 1: an error of ours; 2: wrong usage (raised as SystemExit by
    argparse); 3: finished, but some rows were rejected; 130: stopped by Ctrl-C or SIGTERM.
    """
    # Arrow's own allocator retains freed memory; the system allocator returns it.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from engine.jobs.command import main as run

    return run(argv)


def parser() -> ArgumentParser:
    """The arguments of `bge job`, for the completion of shells. Needs no extra."""
    from engine.jobs import arguments

    return arguments.parser()


def format_of(name: str) -> str | None:
    """Return the format that a file's name tells: text, jsonl, csv, tsv or parquet; else None."""
    from engine.jobs.reading import inputs

    return inputs.format_of(name)


def is_compressed(name: str) -> bool:
    """Return whether a file's name tells that it is compressed in a way that jobs can read."""
    from engine.jobs.reading import inputs

    return inputs.is_compressed(name)


def texts(file: str, column: str, format: str) -> Iterator[str]:
    """Iterate over the texts of a file as a job reads them. InputError: a row has none.

    EngineError: the file is damaged, or pyarrow is not installed (before the first text).
    """
    try:
        from engine.jobs.reading.texts import texts_of
    except ModuleNotFoundError as error:
        raise EngineError(
            f"to read {file} needs pyarrow: pip install 'bge-engine[jobs]'"
        ) from error
    return texts_of(file, column, format)
