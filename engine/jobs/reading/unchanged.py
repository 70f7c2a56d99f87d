"""Whether an input is still what it was when the job began, after its last row was read."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.jobs.reading.blocks import reading
from engine.jobs.reading.inputs import STDIN, Source


def check_unchanged(source: Source, began: dict[str, Any], rows: int) -> None:
    """EngineError: the file was cut, rewritten or appended to, or not all of it was read.

    began: its fingerprint from before it was read; rows: how many were read.
    """
    if source.name == STDIN:
        return
    with reading(source):
        now = replace(source, size=Path(source.name).stat().st_size).fingerprint()
    changed = [f"{key} was {began[key]}, is {now[key]}" for key in now if now[key] != began[key]]
    if not changed and source.format == "parquet" and rows != (total := parquet_rows(source)):
        changed = [f"it has {total:,} rows, of which {rows:,} were read"]
    if changed:
        raise EngineError(
            f"input {source.name!r} changed while it was read: {', '.join(changed)}. Rerun the "
            "command with --update when nothing writes to the input any more."
        )


def parquet_rows(source: Source) -> int:
    """Return the number of rows that the file's footer names."""
    import pyarrow.parquet as pq  # other formats do not need this library

    with reading(source):
        return int(pq.read_metadata(source.name).num_rows)
