"""Files from the Hugging Face hub, each in one resumable download.

The only file that knows `huggingface_hub`, which honours HF_ENDPOINT, HF_TOKEN, proxies and
certificates as its users know them. It no longer resumes a download that another process began,
so the part files are kept here.
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

Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all if known

MISSING = {401, 403, 404}
SMALL = 10_000_000  # bytes: config.json and modules.json have some hundreds
DISK = {errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Unreachable(Exception):
    """The source cannot be reached, or does not have the model; another may."""


def resolve(entry: Entry, seconds: float) -> str:
    """The commit that `entry.revision` means, for an entry with files. Raises Unreachable."""
    with _library():
        from huggingface_hub import get_hf_file_metadata

    url = _url(entry, next(iter(entry.files)), entry.revision)
    with _translated(entry), _quiet():
        found = run_with_timeout(seconds, lambda: get_hf_file_metadata(url, timeout=2 * seconds))
    return str(found.commit_hash or entry.revision or "main")


def listing(entry: Entry, seconds: float) -> tuple[str, Mapping[str, FileFact]]:
    """The commit that `entry.revision` means (None: the newest), and all files of it.

    Sizes, and hashes of large files, are those that the hub states. Raises Unreachable.
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
    """The content of a small file. Raises Unreachable, CheckpointError."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    if size is None or size > SMALL:
        seen = "an unknown size" if size is None else f"{size:,} bytes"
        raise CheckpointError(
            f"{path} of {entry.hub_id} has {seen}; at most {SMALL:,} bytes are read."
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
    """Large files are named by their SHA-256; of small ones the hub states only a git hash."""
    return lfs["sha256"] if lfs else None


def download(
    entry: Entry, commit: str, path: str, size: int | None, into: Path, progress: Progress
) -> None:
    """Writes the file to `into`, or the rest of it, where there is a part. Raises Unreachable."""
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
                if size is not None and part.tell() > size:  # a server without ranges began again
                    part.seek(part.truncate(0))
                idle = 0 if part.tell() > begun else idle + 1
                if idle == 2:  # twice not a byte gained: give up, and keep what is there
                    raise
        part.sync()


class _Part(io.FileIO):
    """A file that is appended to, and reports how far it is."""

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
        """To the disk, so that the name given to it later never stands for half a file."""
        os.fsync(self.fileno())


def run_with_timeout(seconds: float, work: Callable[[], Any]) -> Any:
    """The result of `work`, or TimeoutError: looking up a host's name knows no time limit."""
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
        raise TimeoutError(f"no answer within {seconds:.1f} s")
    result, error = outcome
    if error:
        raise error
    return result


@contextmanager
def _library() -> Iterator[None]:
    """Without the hub's library the hub is out of reach."""
    try:
        yield
    except ImportError as error:
        raise Unreachable(f"needs the Python package huggingface_hub ({error})") from error


@contextmanager
def _translated(entry: Entry) -> Iterator[None]:
    """What several HTTP libraries raise, as Unreachable; trouble with the disk as it is."""
    try:
        yield
    except Exception as error:
        if _is_disk_error(error):
            raise
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in MISSING:
            at = f" at {entry.revision}" if entry.revision else ""
            raise Unreachable(
                f"has no {entry.hub_id}{at}, or not for this user (HTTP {status})"
            ) from error
        reason = f"HTTP {status}" if status else _first_line(error)
        raise Unreachable(f"could not be reached ({reason})") from error


def _is_disk_error(error: Exception) -> bool:
    """Network errors can be OSErrors too, but they name no file and have other numbers."""
    return isinstance(error, OSError) and (error.filename is not None or error.errno in DISK)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """The caller says once what failed; the library's own warnings would say it again."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    """`progress` draws; the library's own bars stay away unless the user's environment decides."""
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
    """HF_ENDPOINT as it is now; the library reads it once, when it is imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
