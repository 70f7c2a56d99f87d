"""The journal of completed shards: a line of JSON for each, in the order of their completion; and
the counts that a finished job leaves beside it."""

import json
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.record import Record
from engine.jobs.writing.shards import Key


def read_journal(path: Path) -> tuple[list[Record], int]:
    """Return the records, and the bytes that they take; a torn last line is left out.

    EngineError: a line is damaged.
    """
    records, whole = [], 0
    with path.open("rb") as journal:
        for number, line in enumerate(journal, 1):
            if not line.endswith(b"\n"):  # a power failure came between
                break
            whole += len(line)
            records.append(_record(path, line, number))
    return records, whole


def recorded(folders: Folders) -> dict[Key, Record]:
    """Return the last record of each completed shard; none before there is a journal."""
    path = folders.job / "journal.jsonl"
    return latest(read_journal(path)[0]) if path.exists() else {}


def latest(records: list[Record]) -> dict[Key, Record]:
    """Return each shard's last record: a damaged shard is computed and recorded again."""
    return {record.key: record for record in records}


def count_in(summary: Path, name: str) -> Any:
    """Return one of the counts of a finished job. EngineError: the file is damaged."""
    try:
        return json.loads(summary.read_bytes())[name]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EngineError(
            f"{summary} is damaged ({error!r}). Rerun the same `bge job` command."
        ) from error


def _record(path: Path, line: bytes, number: int) -> Record:
    try:
        return Record.from_json(line)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EngineError(
            f"{path} is damaged at line {number} ({error!r}). Delete that line. Rerun the same "
            "`bge job` command, which computes its shard again."
        ) from error


def damaged(folders: Folders, record: Record) -> list[Path]:
    """Return the shard's files that are missing, or whose bytes are not those recorded."""
    paths = {folders.path(name): content for name, content in record.files.items()}
    return [path for path, content in paths.items() if not content.is_in(path)]
