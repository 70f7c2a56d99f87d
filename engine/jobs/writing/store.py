"""The output folder of a job: lock, manifest, and journal of completed shards.

    OUTPUT/part-000000-000000.parquet    a shard: split, part (or .npy with .ids.jsonl)
    OUTPUT/_rejects.jsonl                file, row and reason of each rejected row, at the end
    OUTPUT/_job/manifest.json            what decides the bytes; a resumed run must match it
    OUTPUT/_job/journal.jsonl            one line per shard, written after its files are synced
    OUTPUT/_job/rejects-*.jsonl          the rejected rows of one shard
    OUTPUT/_job/summary.json             the counts, at the end
    OUTPUT/_job/lock                     held while a job runs; released when the process ends

Readers of Parquet folders skip names that begin with an underscore.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

from engine.errors import EngineError, InputError
from engine.jobs.writing.manifest import differences, read
from engine.jobs.writing.shard_files import (
    TEMPORARY,
    Record,
    explain,
    put,
    rejects_name,
    sync_folder,
)
from engine.jobs.writing.shards import Key
from engine.system.files import opened

COUNTS = ("rows", "tokens", "cut", "rejects", "size")


class Store:
    """The output of one job. Entering takes the lock and reads what earlier runs completed."""

    def __init__(self, folder: Path, manifest: dict[str, Any], splits: int) -> None:
        self.folder, self.job = folder, folder / "_job"
        self.manifest, self.splits = manifest, splits
        self.records: dict[Key, Record] = {}
        self.totals = dict.fromkeys(COUNTS, 0)  # of the completed shards
        self._ends: dict[int, int] = {}
        self._counted: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._check_folder()
        self.job.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        try:
            self._remove_partial_files()
            self._check_manifest()
            self._journal = self._open_journal()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._journal.close()
        self._lock.close()

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
            raise explain(error, self.job / "journal.jsonl") from error
        self._remember(record)

    def done(self, split: int) -> bool:
        return self._ends.get(split, -1) == self._counted.get(split)

    def digests(self, split: int) -> dict[int, str]:
        """Return part -> digest of the completed shards of a split."""
        records = self.records.items()
        return {key.part: record.digest for key, record in records if key.split == split}

    @property
    def complete(self) -> bool:
        return all(self.done(split) for split in range(self.splits))

    def first_reject(self) -> dict[str, Any]:
        key = min(key for key, record in self.records.items() if record.rejects)
        with (self.folder / rejects_name(key)).open(encoding="utf-8") as lines:
            return dict(json.loads(next(lines)))

    def finish(self) -> None:
        """Merge the rejects in the order of the input, and write the counts."""
        assert self.complete
        self._remove_partial_files()
        self._merge_rejects()
        counts = json.dumps({**self.totals, "shards": len(self.records)})
        put(self.job / "summary.json", counts.encode() + b"\n")

    def _check_folder(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"output {str(self.folder)!r} is a file; name a new or empty folder.")
        if self.job.exists() or not self.folder.exists():
            return
        if held := sorted(path.name for path in self.folder.iterdir()):
            raise InputError(
                f"output {str(self.folder)!r} holds {held[0]!r} and is not the output of a job; "
                "name a new or empty folder."
            )

    def _take_lock(self) -> IO[str]:
        lock = os.fdopen(
            opened(self.job / "lock", os.O_RDWR | os.O_CREAT, 0o666), "r+", encoding="ascii"
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise EngineError(
                f"another job is writing to {str(self.folder)!r} (process {holder}); wait for it, "
                "stop it, or name another output."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {os.uname().nodename}")
        lock.flush()
        return lock

    def _remove_partial_files(self) -> None:
        """Remove the partial files of writers, here or on a cluster, that were killed."""
        for folder in (self.folder, self.job):
            for stale in folder.glob(TEMPORARY + "*"):
                stale.unlink(missing_ok=True)

    def _check_manifest(self) -> None:
        """Write the manifest of a new job, or compare the old one with this job's."""
        path = self.job / "manifest.json"
        if not path.exists():
            put(path, json.dumps(self.manifest, indent=1, ensure_ascii=False).encode() + b"\n")
            return
        differing = differences(read(path), self.manifest)
        if differing:
            raise InputError(
                f"output {str(self.folder)!r} belongs to a different job; what differs:\n  "
                + "\n  ".join(differing)
                + "\nRerun the command that started it, or name another output."
            )

    def _open_journal(self) -> IO[bytes]:
        """Read the completed shards; remove a last line that a power failure left incomplete."""
        journal = (self.job / "journal.jsonl").open("a+b")
        sync_folder(self.job)
        journal.seek(0)
        whole = 0
        for number, line in enumerate(journal, 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            record = self._record(line, number)
            if self._in_place(record):
                self._remember(record)
        journal.truncate(whole)
        journal.seek(whole)
        return journal

    def _record(self, line: bytes, number: int) -> Record:
        try:
            return Record.from_json(line)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise EngineError(
                f"{self.job / 'journal.jsonl'} is damaged at line {number} ({error!r}). Delete "
                "that line and rerun the same command, which computes its shard again."
            ) from error

    def _in_place(self, record: Record) -> bool:
        paths = {self.folder / name: size for name, size in record.files.items()}
        return all(path.is_file() and path.stat().st_size == size for path, size in paths.items())

    def _remember(self, record: Record) -> None:
        split, part = record.key
        if record.key in self.records:
            return
        self.records[record.key] = record
        self._counted[split] = self._counted.get(split, 0) + 1
        for count in COUNTS:
            self.totals[count] += getattr(record, count)
        if record.last:
            self._ends[split] = part + 1

    def _merge_rejects(self) -> None:
        target = self.folder / "_rejects.jsonl"
        names = [self.folder / rejects_name(key) for key in self._keys_with_rejects()]
        if not names:
            target.unlink(missing_ok=True)
            return
        temporary = self.folder / f"{TEMPORARY}rejects"
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
