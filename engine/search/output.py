"""What a job left in its folders: the manifest, and the shards in the order of the input."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError, InputError
from engine.jobs.options import DTYPES, OUTPUT_FORMATS
from engine.jobs.writing import manifest
from engine.jobs.writing.exchange import check_settled
from engine.jobs.writing.folders import PART, Folders
from engine.jobs.writing.journal import count_in, latest, read_journal
from engine.jobs.writing.record import Record


@dataclass(frozen=True)
class Shard:
    """`stem` is the path of its files without the suffix; `first`, the number of its first row."""

    stem: Path
    first: int
    rows: int

    def file(self, suffix: str) -> Path:
        return self.stem.with_name(self.stem.name + suffix)


@dataclass(frozen=True)
class Output:
    folder: Path
    manifest: dict[str, Any]
    shards: list[Shard]
    rows: int


def read_output(folder: Path) -> Output:
    """Read the manifest and the journal, and check that each file has the size that was written.

    InputError: the folder is not the output of a job. EngineError: the job is not finished, or
    files are missing or damaged.
    """
    folders = Folders.of(folder)
    folder, job = folders.data, folders.job
    if not (job / "manifest.json").is_file():
        raise InputError(
            f"{str(folder)!r} is not the output of `bge job`: there is no {job}/manifest.json. "
            "Give the folder named by its option -o; move or copy both folders together."
        )
    check_settled(folders)
    facts = manifest.read(job / "manifest.json")
    if not (facts.get("dtype") in DTYPES and facts.get("format") in OUTPUT_FORMATS):
        raise EngineError(f"{job / 'manifest.json'} is damaged: its dtype or format is unknown.")
    if not (job / "summary.json").is_file():
        raise EngineError(
            f"the job that writes {str(folder)!r} has not finished. Wait for it, or rerun the same "
            "`bge job` command to resume it."
        )
    records = _records(job / "journal.jsonl")
    shards, first = [], 0
    for record in records:
        _check_files(folders, record)
        if record.rows:
            shards.append(Shard(folder / f"{PART}{record.key}", first, record.rows))
        first += record.rows
    _check_count(job / "summary.json", first)
    return Output(folder, facts, shards, first)


def _records(journal: Path) -> list[Record]:
    """The shards' records in the order of the input."""
    try:
        records = latest(read_journal(journal)[0])
    except OSError as error:
        raise EngineError(
            f"{journal} cannot be read ({error!r}). Rerun the same `bge job` command."
        ) from error
    return [records[key] for key in sorted(records)]


def _check_files(folders: Folders, record: Record) -> None:
    for name, content in record.files.items():
        path = folders.path(name)
        found = path.stat().st_size if path.is_file() else None
        if found != content.size:
            state = "is missing" if found is None else f"has {found} bytes, not {content.size}"
            raise EngineError(
                f"{path} {state}. Rerun the same `bge job` command, which computes it again."
            )


def _check_count(summary: Path, rows: int) -> None:
    expected = count_in(summary, "rows")
    if expected != rows:
        raise EngineError(
            f"{summary} counts {expected} rows, the journal {rows}. Rerun the same `bge job` "
            "command to finish the job."
        )
