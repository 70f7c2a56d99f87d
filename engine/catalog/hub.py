"""Downloads of files from the Hugging Face hub. An interrupted download can be resumed.

Only this module imports `huggingface_hub`, which handles HF_ENDPOINT, HF_TOKEN, proxies and
certificates. That library no longer resumes a download that another process began, so this module
keeps the partial files itself.
"""

import errno
import io
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from engine.catalog.models import Entry, FileFact
from engine.errors import CheckpointError

Progress = Callable[[str, int, int | None], None]  # file, bytes so far, total bytes (None: unknown)

MISSING = {401, 403, 404}  # HTTP: no such repository, revision or file, or no access to it
SMALL = 10_000_000  # bytes, at most, of a JSON file that is read; config.json has some hundreds
DISK = {errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Unreachable(Exception):
    """The source cannot be reached or does not have the model. Another source may have it."""


def resolve(entry: Entry, seconds: float) -> str:
    """The commit hash of `entry.revision`, for an entry with pinned files. Errors: as `listing`."""
    with _library():
        from huggingface_hub import get_hf_file_metadata

    url = _url(entry, next(iter(entry.files)), entry.revision)
    with _translated(entry), _quiet():
        found = run_with_timeout(seconds, lambda: get_hf_file_metadata(url, timeout=2 * seconds))
    return str(found.commit_hash or entry.revision or "main")


def listing(entry: Entry, seconds: float) -> tuple[str, Mapping[str, FileFact]]:
    """The commit hash of `entry.revision` (None: the newest commit), and all files of it.

    The hub reports the sizes, and the SHA-256 of large files only. Raises Unreachable, also if the
    hub does not respond within `seconds`.
    """
    with _library():
        from huggingface_hub import HfApi

    def ask() -> Any:
        return HfApi(endpoint=_endpoint()).model_info(
            entry.hub_id,
            revision=entry.revision or "main",
            files_metadata=True,
            timeout=2 * seconds,
        )

    with _translated(entry), _quiet():
        info = run_with_timeout(seconds, ask)
    files = {file.rfilename: file for file in info.siblings or ()}
    return str(info.sha or entry.revision or "main"), {
        path: FileFact(file.size, _lfs_sha256(file.lfs)) for path, file in files.items()
    }


def read_json(entry: Entry, commit: str, path: str, size: int | None) -> Any:
    """The parsed content of a JSON file of `size` bytes.

    Raises Unreachable, and CheckpointError if `size` is None or too large, or it is not JSON.
    """
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if size is None or size > SMALL:
        seen = "an unknown size" if size is None else f"{size:,} bytes"
        raise CheckpointError(
            f"{path} of {entry.hub_id} has {seen}; it must have at most {SMALL:,} bytes."
        )
    content = io.BytesIO()
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    with _translated(entry), _quiet(), _no_bars():
        http_get(_url(entry, path, commit), content, headers=headers, expected_size=size)
    try:
        return json.loads(content.getvalue())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} of {entry.hub_id} is not JSON ({error}).") from error


def _lfs_sha256(lfs: Any) -> str | None:
    """The SHA-256 of a large file (Git LFS). For a small file the hub reports only a git hash."""
    return lfs["sha256"] if lfs else None


def download(
    entry: Entry, commit: str, path: str, size: int | None, into: Path, progress: Progress
) -> None:
    """Downloads a file to `into`. If `into` holds a part of it, only the rest is downloaded.

    size: in bytes; None if it is unknown, and then nothing is resumed. Raises Unreachable, and
    OSError for errors of the local disk.
    """
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    into.parent.mkdir(parents=True, exist_ok=True)
    if size is None or (into.exists() and into.stat().st_size > size):
        into.unlink(missing_ok=True)
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
    url = _url(entry, path, commit)
    idle = 0
    with _Part(into, path, size, progress) as part, _no_bars():
        while (begun := part.tell()) != size:
            try:
                with _translated(entry):
                    http_get(url, part, resume_size=begun, headers=headers, expected_size=size)
                break
            except Unreachable:
                # A server without range requests sent the whole file again.
                if size is not None and part.tell() > size:
                    part.seek(part.truncate(0))
                idle = 0 if part.tell() > begun else idle + 1
                if idle == 2:  # two attempts brought no byte: give up, and keep the part
                    raise
        part.sync()


class _Part(io.FileIO):
    """A partial file. Writes append to it and call `progress`."""

    def __init__(self, file: Path, path: str, size: int | None, progress: Progress) -> None:
        super().__init__(file, "a")
        self._path, self._size, self._progress = path, size, progress

    def write(self, content: Any, /) -> int:
        rest = memoryview(content)
        while rest:
            rest = rest[super().write(rest) :]
        self._progress(self._path, self.tell(), self._size)
        return len(content)

    def sync(self) -> None:
        """Flushes to the disk, so that a crash after the later rename cannot lose content."""
        os.fsync(self.fileno())


def run_with_timeout(seconds: float, work: Callable[[], Any]) -> Any:
    """The result of `work`; TimeoutError if it takes longer than `seconds`.

    A thread is needed because the lookup of a host name has no time limit of its own.
    """
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.extend((work(), None))
        except BaseException as error:
            outcome.extend((None, error))

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no response within {seconds:.1f} s")
    result, error = outcome
    if error:
        raise error
    return result


@contextmanager
def _library() -> Iterator[None]:
    """Raises Unreachable if huggingface_hub cannot be imported."""
    try:
        yield
    except ImportError as error:
        raise Unreachable(f"needs the Python package huggingface_hub ({error})") from error


@contextmanager
def _translated(entry: Entry) -> Iterator[None]:
    """Turns the errors of the HTTP libraries into Unreachable. Disk errors are passed on."""
    try:
        yield
    except Exception as error:
        if _is_disk_error(error):
            raise
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in MISSING:
            at = f" at {entry.revision}" if entry.revision else ""
            raise Unreachable(
                f"has no {entry.hub_id}{at}, or this user has no access (HTTP {status})"
            ) from error
        reason = f"HTTP {status}" if status else _first_line(error)
        raise Unreachable(f"could not be reached ({reason})") from error


def _is_disk_error(error: Exception) -> bool:
    """Network errors can be OSErrors too, but they have no file name and other error numbers."""
    return isinstance(error, OSError) and (error.filename is not None or error.errno in DISK)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the library's warnings, because the caller reports the error itself."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Disables the library's progress bars, unless the environment sets them: `progress` draws."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    ours = "HF_HUB_DISABLE_PROGRESS_BARS" not in os.environ and not are_progress_bars_disabled()
    if ours:
        disable_progress_bars()
    try:
        yield
    finally:
        if ours:
            enable_progress_bars()


def _url(entry: Entry, path: str, revision: str | None) -> str:
    from huggingface_hub import hf_hub_url

    return str(hf_hub_url(entry.hub_id, path, revision=revision, endpoint=_endpoint()))


def _endpoint() -> str | None:
    """The current HF_ENDPOINT. The library reads it only once, when it is imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
