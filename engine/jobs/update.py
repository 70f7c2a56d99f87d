"""`--update`: the table of the present inputs, with the vectors that an earlier one already has.

A vector depends on its text and on what the manifest says of the model, not on the table. So each
text that the earlier output has is looked up by its hash, and its stored vector is copied, bit for
bit. The new table is built beside the earlier one and takes its place when it is complete.
"""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.errors import EngineError, InputError
from engine.jobs.chunking import divide
from engine.jobs.embedding import Embedded, How, Work, all_new
from engine.jobs.options import Options
from engine.jobs.reading.inputs import STDIN
from engine.jobs.writing import manifest
from engine.jobs.writing.earlier import FILE_FACTS, VECTOR_FACTS, Earlier
from engine.jobs.writing.exchange import check_exchangeable, next_of
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.journal import damaged, recorded
from engine.jobs.writing.record import Record
from engine.jobs.writing.row_hashes import HASH_BYTES, Hashes, find, rows_of
from engine.jobs.writing.shard_files import link_shard, put, write_shard
from engine.jobs.writing.shards import Key, Shard
from engine.jobs.writing.store import Store

if TYPE_CHECKING:
    from engine.embedder import Embedder

MADE_FROM = "made-from"  # in next/: the hash of the journal of the table that it updates


class Planner:
    """Decides what of a shard is computed, and writes it. `reuse`: the output to take from."""

    def __init__(
        self, options: Options, how: How, embedder: "Embedder", reuse: "Reuse | None"
    ) -> None:
        self._format, self._id, self._reuse = options.format, options.fields.id, reuse
        self._how, self._embedder = how, embedder
        self._earlier = reuse.open() if reuse and reuse.vectors else None

    def work(self, shard: Shard) -> Work:
        earlier, reuse = self._earlier, self._reuse
        if earlier and reuse and reuse.files and (same := earlier.same(shard)):
            return same
        shard = divide(self._embedder, self._how, shard)
        return earlier.work(shard) if earlier else all_new(shard)

    def write(self, folders: Folders, done: Embedded) -> Record:
        if done.same and self._reuse:
            return link_shard(folders, done.shard, self._reuse.folders, done.same)
        return write_shard(folders, done, self._format, self._id)


@dataclass(frozen=True)
class Reuse:
    """An earlier output, described briefly enough to be sent to another machine.

    differing: which facts of the manifests keep its vectors from being taken. files: whether an
    equal shard has equal files.
    """

    folders: Folders
    manifest: dict[str, Any]
    records: list[Record]
    damaged: int
    differing: list[str]
    files: bool

    @property
    def vectors(self) -> bool:
        return not self.differing

    def open(self) -> Earlier:
        return Earlier(self.folders, self.manifest, self.records)


def begin(folders: Folders, description: dict[str, Any], options: Options) -> Reuse | None:
    """Prepare to build the next table; None if there is none yet, or nothing has changed.

    InputError: the output is a mount point, or rows cannot be kept. EngineError: the earlier
    manifest or journal is damaged.
    """
    path = folders.job / "manifest.json"
    if not path.exists():
        return None
    old = manifest.read(path)
    if not manifest.differences(old, description) and STDIN not in options.inputs:
        return None
    check_exchangeable(folders)
    _remove_stale(folders, description, options)
    records = recorded(folders)
    whole = [record for record in records.values() if not damaged(folders, record)]
    differing = manifest.differing(old, description, VECTOR_FACTS)
    if options.keep_removed:
        _check_keepable(folders, old, description, len(records) - len(whole))
    files = not manifest.differing(old, description, FILE_FACTS)
    return Reuse(folders, old, whole, len(records) - len(whole), differing, files)


def _remove_stale(folders: Folders, description: dict[str, Any], options: Options) -> None:
    """Keep the work of an update that was interrupted, if it would be continued as it is."""
    new = next_of(folders)
    journal = folders.job / "journal.jsonl"
    made_from = hashlib.sha256(journal.read_bytes() if journal.exists() else b"").hexdigest()
    mark = new.job.parent / MADE_FROM
    try:
        begun = manifest.read(new.job / "manifest.json")
        stale = bool(manifest.differences(begun, description)) or mark.read_text() != made_from
    except (OSError, EngineError):
        stale = True
    if stale or STDIN in options.inputs:
        shutil.rmtree(new.job.parent, ignore_errors=True)
        new.job.parent.mkdir()
        put(mark, made_from.encode())


def _check_keepable(
    folders: Folders, old: dict[str, Any], new: dict[str, Any], damaged_shards: int
) -> None:
    differing = manifest.differing(old, new, (*VECTOR_FACTS, *FILE_FACTS))
    if differing:
        raise InputError(
            f"--keep-removed: the rows of {str(folders.data)!r} do not fit into the new table; "
            "what differs:\n  "
            + "\n  ".join(differing)
            + "\nLeave the option out, or name another output."
        )
    if new["format"] != "parquet":
        raise InputError("--keep-removed needs --format parquet, where columns keep their types")
    if damaged_shards:
        raise EngineError(
            f"{damaged_shards} shards of {str(folders.data)!r} are damaged, so it is unknown which "
            "of their rows to keep; bge job --verify names them. Restore the files, or update "
            "without --keep-removed."
        )


def removed_rows(earlier: Earlier, store: Store, split: int, shard_rows: int) -> Iterator[Embedded]:
    """Shards of the rows whose ids are no longer in the inputs; `store` has all others."""
    present = _open(store, below=split).column("id")
    gone = np.flatnonzero(find(present, earlier.column("id")) < 0)
    for part, start in enumerate(range(0, len(gone), shard_rows)):
        numbers = gone[start : start + shard_rows]
        known = earlier.take(numbers)
        rows = rows_of(earlier.column("text")[numbers], known.tokens, known.cut)
        digest = hashlib.sha256(b"kept" + earlier.column("id")[numbers].tobytes()).hexdigest()
        shard = Shard(
            Key(split, part), start + shard_rows >= len(gone), [], [], [],
            earlier.columns(numbers), [], digest, 0,
        )  # fmt: skip
        yield Embedded(shard, known.vectors, rows, int(known.tokens.sum()), int(known.cut.sum()))


def changes(earlier: Earlier, store: Store, split: int) -> str:
    """Count, by id, how the table differs from the earlier one; `split`: that of kept rows."""
    present = _open(store, below=split)
    before, now = earlier.column("id"), present.column("id")
    found = find(before, now)
    same = find(_pairs(earlier), _pairs(present)) >= 0  # several chunks have one id
    removed = int((find(now, before) < 0).sum())
    kept = " (kept)" if any(key.split == split for key in store.records) else ""
    return (
        f"{int((found < 0).sum()):,} new, {int(((found >= 0) & ~same).sum()):,} changed, "
        f"{int(same.sum()):,} unchanged, {removed:,} removed{kept}"
    )


def _pairs(table: Earlier) -> Hashes:
    """The id and the text of each row, as one hash of both."""
    both = np.stack([table.column("id"), table.column("text")], axis=1)
    return both.view(f"S{2 * HASH_BYTES}")[:, 0]


def _open(store: Store, below: int) -> Earlier:
    records = [record for key, record in store.records.items() if key.split < below]
    return Earlier(store.folders, store.manifest, records)
