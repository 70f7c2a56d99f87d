"""Replace a table by another one as a whole: readers see the old files or the new ones.

The new table lies in OUTPUT.job/next, with folders of its own. First a file says that the exchange
has begun; then the two folders of data are exchanged by one system call; then the bookkeeping is
moved. A process that was killed in between leaves the file, and the next job completes the rest.

Where the system has no such call (not Linux, and some network file systems), OUTPUT is renamed
twice, and is missing for a moment in between.
"""

import ctypes
import errno
import json
import os
import shutil
from pathlib import Path

from engine.errors import EngineError, InputError
from engine.jobs.writing.folders import Folders
from engine.jobs.writing.journal import read_journal
from engine.jobs.writing.shard_files import TEMPORARY, put, sync_folder

BEGUN = "exchange.json"
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of linux/fcntl.h and linux/fs.h
UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def next_of(folders: Folders) -> Folders:
    """Return the folders in which the next table of an output is built."""
    return Folders(folders.job / "next" / "data", folders.job / "next" / "job")


def check_exchangeable(folders: Folders) -> None:
    """InputError: OUTPUT is a mount point, which cannot be renamed."""
    if os.path.ismount(folders.data):
        raise InputError(
            f"output {str(folders.data)!r} is a mount point, which --update cannot exchange; name "
            "a folder inside it."
        )


def check_settled(folders: Folders) -> None:
    """EngineError: an exchange has begun and is not complete."""
    if (folders.job / BEGUN).exists():
        raise EngineError(
            f"{str(folders.data)!r} is being replaced by its update. Try again; if the update was "
            "interrupted, rerun its command."
        )


def exchange(folders: Folders) -> None:
    """Put the next table, which is complete, in the place of the present one."""
    inode = next_of(folders).data.stat().st_ino
    put(folders.job / BEGUN, json.dumps({"data": inode}).encode())
    complete(folders)


def complete(folders: Folders) -> None:
    """Do what is left of an exchange that has begun; nothing if none has."""
    begun, new = folders.job / BEGUN, next_of(folders)
    if not begun.exists():
        return
    inode = json.loads(begun.read_bytes())["data"]
    if new.data.exists() and new.data.stat().st_ino == inode:
        _swap(new.data, folders.data)
        sync_folder(folders.data.parent)
    for path in sorted(new.job.iterdir()) if new.job.exists() else []:
        path.replace(folders.job / path.name)
    _remove_stale(folders)
    sync_folder(folders.job)
    shutil.rmtree(new.job.parent, ignore_errors=True)
    begun.unlink()


def _swap(new: Path, old: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        names = os.fsencode(new), os.fsencode(old)
        if not libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE):
            return
        if (number := ctypes.get_errno()) not in UNSUPPORTED:
            raise EngineError(f"{old} cannot be exchanged with {new}: {os.strerror(number)}.")
    swap_by_renaming(new, old)


def swap_by_renaming(new: Path, old: Path) -> None:
    aside = new.with_name("old")
    if aside.exists():  # killed between the two: a new run has made an empty folder since
        old.rmdir()
    else:
        old.rename(aside)
    new.rename(old)


def _remove_stale(folders: Folders) -> None:
    """Remove the bookkeeping of shards of the old table."""
    records, _ = read_journal(folders.job / "journal.jsonl")
    kept = {name for record in records for name in record.files}
    for pattern in ("rows-*", "rejects-*", f"{TEMPORARY}*"):
        for path in folders.job.glob(pattern):
            if path.name not in kept:
                path.unlink()
    if not any(record.rejects for record in records):
        (folders.job / "rejects.jsonl").unlink(missing_ok=True)
