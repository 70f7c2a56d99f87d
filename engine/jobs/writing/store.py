"""What a job has completed: the manifest, the journal of shards, and the counts.

`folders` describes the files.
"""

import json
import os
import shutil
from collections.abc import Iterator
from typing import IO, Any, Self

from engine.errors import EngineError, InputError
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.journal import damaged, latest, read_journal
from engine.jobs.writing.manifest import differences, read
from engine.jobs.writing.record import Record
from engine.jobs.writing.shard_files import (
    TEMPORARY,
    explain,
    put,
    rejects_name,
    sync_folder,
)
from engine.jobs.writing.shards import Key

COUNTS = ("rows", "tokens", "cut", "rejects", "size")


class Store:
    """The output of one job. Entering reads what earlier runs completed; hold the lock."""

    def __init__(self, folders: Folders, manifest: dict[str, Any], splits: int) -> None:
        self.folders, self.manifest, self.splits = folders, manifest, splits
        self.records: dict[Key, Record] = {}
        self.totals = dict.fromkeys(COUNTS, 0)  # of the completed shards
        self._lasts: dict[int, int] = {}  # split -> its last part

    def __enter__(self) -> Self:
        self.folders.create()
        self._remove_partial_files()
        self._check_manifest()
        self._journal = self._open_journal()
        return self

    def __exit__(self, *exception: object) -> None:
        self._journal.close()

    def add(self, record: Record) -> None:
        """Add a shard whose files are written to the journal. EngineError: the disk is full."""
        line = record.to_json().encode() + b"\n"
        end = self._journal.tell()
        try:
            self._journal.write(line)
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            os.ftruncate(self._journal.fileno(), end)
            raise explain(error, self.folders.job / "journal.jsonl") from error
        self._remember(record)

    def done(self, split: int) -> bool:
        """Whether each part of a split is complete, from the first to the last."""
        last = self._lasts.get(split)
        return last is not None and all(Key(split, part) in self.records for part in range(last))

    def digests(self, split: int) -> dict[int, str]:
        """Return part -> digest of the completed shards of a split."""
        records = self.records.items()
        return {key.part: record.digest for key, record in records if key.split == split}

    @property
    def complete(self) -> bool:
        return all(self.done(split) for split in range(self.splits))

    def first_reject(self) -> dict[str, Any]:
        key = min(key for key, record in self.records.items() if record.rejects)
        with self.folders.path(rejects_name(key)).open(encoding="utf-8") as lines:
            return dict(json.loads(next(lines)))

    def finish(self) -> None:
        """Merge the rejects in the order of the input, and write the counts."""
        assert self.complete
        self._remove_partial_files()
        self._merge_rejects()
        counts = json.dumps({**self.totals, "shards": len(self.records)})
        put(self.folders.job / "summary.json", counts.encode() + b"\n")

    def _remove_partial_files(self) -> None:
        """Remove the partial files of writers, here or on a cluster, that were killed."""
        for folder in (self.folders.data, self.folders.job):
            for stale in folder.glob(TEMPORARY + "*"):
                stale.unlink(missing_ok=True)

    def _check_manifest(self) -> None:
        """Write the manifest of a new job, or compare the old one with this job's."""
        path = self.folders.job / "manifest.json"
        if not path.exists():
            put(path, json.dumps(self.manifest, indent=1, ensure_ascii=False).encode() + b"\n")
            return
        differing = differences(read(path), self.manifest)
        if differing:
            raise InputError(
                f"output {str(self.folders.data)!r} belongs to a different job; what differs:\n  "
                + "\n  ".join(differing)
                + "\nRerun the command that started it, name another output, or give --update to "
                "make the table anew and take the vectors that it already has."
            )

    def _open_journal(self) -> IO[bytes]:
        """Read the completed shards; remove a last line that a power failure left incomplete."""
        path = self.folders.job / "journal.jsonl"
        records, whole = read_journal(path) if path.exists() else ([], 0)
        for record in latest(records).values():
            if not (paths := damaged(self.folders, record)):
                self._remember(record)
            elif record.key.split >= self.splits:
                raise EngineError(
                    f"{paths[0]} is damaged or missing, and its rows are no longer in the inputs, "
                    "so they cannot be computed again. Restore the file, or make the table without "
                    "these rows: --update without --keep-removed."
                )
        journal = path.open("r+b" if records else "w+b")
        sync_folder(self.folders.job)
        journal.truncate(whole)
        journal.seek(whole)
        return journal

    def _remember(self, record: Record) -> None:
        if record.key in self.records:
            return
        self.records[record.key] = record
        for count in COUNTS:
            self.totals[count] += getattr(record, count)
        if record.last:
            self._lasts[record.key.split] = record.key.part

    def _merge_rejects(self) -> None:
        target = self.folders.job / "rejects.jsonl"
        names = [self.folders.path(rejects_name(key)) for key in self._keys_with_rejects()]
        if not names:
            target.unlink(missing_ok=True)
            return
        temporary = target.with_name(f"{TEMPORARY}rejects")
        try:
            with temporary.open("wb") as file:
                for name in names:
                    with name.open("rb") as part:
                        shutil.copyfileobj(part, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise explain(error, target) from error

    def _keys_with_rejects(self) -> Iterator[Key]:
        return (key for key in sorted(self.records) if self.records[key].rejects)
