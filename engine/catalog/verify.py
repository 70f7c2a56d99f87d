"""Compares the files of a folder with the registry or with the record of their download.

Hashing 438 MB takes a third of a second or more. So computed hashes are stored in the user's cache
folder. A stored hash is used as long as the file's size, times and inode stay the same.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from engine.catalog.models import Entry, FileFact
from engine.catalog.record import read_record
from engine.errors import CheckpointError
from engine.system.files import identity, opened, opened_private
from engine.system.folders import user_cache_if_any

WEIGHTS = "model.safetensors"
NEEDED = (
    "modules.json",
    "config.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
    "tokenizer.json",
    WEIGHTS,
)


def verify_files(folder: Path, entry: Entry) -> None:
    """Raises CheckpointError, which names the file, if a file of `folder` is not as in `entry`."""
    try:
        found = next(mismatches(folder, facts_of(folder, entry)), None)
    except OSError as error:
        raise CheckpointError(f"{error.filename} cannot be read: {error.strerror}.") from error
    if found:
        path, wrong = found
        raise CheckpointError(
            f"{folder / path} {wrong}. {entry.name} is not loaded from this folder. Repair it "
            f"with `{entry.command} --to {folder}`. If the file differs on purpose, load the "
            f"folder by its path, {by_path(folder)}, instead of the model's name."
        )


def by_path(folder: Path) -> str:
    """The path in a form that is never taken for a model's name: ./weights/x, or absolute."""
    return str(folder) if folder.is_absolute() else f"./{folder.as_posix()}"


def is_kind(path: Path, kind: Callable[[Path], bool]) -> bool:
    """kind(path), where `kind` is Path.is_file or Path.is_dir; False if it raises an error.

    It does so for a name that is too long, for example.
    """
    try:
        return kind(path)
    except (OSError, ValueError):
        return False


def facts_of(folder: Path, entry: Entry) -> Mapping[str, FileFact]:
    """The expected files: pinned, else recorded by the download, else names without hashes."""
    if entry.files:
        return entry.files
    if record := read_record(folder):
        return record.files
    if not entry.sizes:
        return {}
    index = f"{WEIGHTS}.index.json"
    sharded = (folder / index).is_file()
    return {index if path == WEIGHTS and sharded else path: FileFact() for path in NEEDED}


def mismatches(folder: Path, facts: Mapping[str, FileFact]) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) for each file that differs. All sizes are compared before any hash."""
    sound = []
    for path, fact in facts.items():
        if wrong := _quick_check(folder / path, fact):
            yield path, wrong
        elif (folder / path).is_file():
            sound.append(path)
    with Stamps(folder) as stamps:
        for path in sound:
            if wrong := _by_hash(facts[path], partial(stamps.sha256, path)):
                yield path, wrong


def difference(file: Path, fact: FileFact) -> str | None:
    """What is wrong with a file; None if it is as expected. Stored hashes are not used."""
    return _quick_check(file, fact) or _by_hash(fact, lambda: sha256(file))


def _by_hash(fact: FileFact, compute: Callable[[], str]) -> str | None:
    if fact.sha256 is None or (seen := compute()) == fact.sha256:
        return None
    return f"has SHA-256 {seen}, but {fact.sha256} is expected"


def _quick_check(file: Path, fact: FileFact) -> str | None:
    if not file.is_file():
        return None if fact.optional else "is missing"
    size = file.stat().st_size
    if fact.size is not None and size != fact.size:
        return f"has {size:,} bytes, but {fact.size:,} are expected"
    if fact.sha256 is None and file.suffix == ".json":
        return _wrong_json(file, fact)
    return None


def _wrong_json(file: Path, fact: FileFact) -> str | None:
    try:
        content = json.loads(file.read_bytes())
        if fact.content is None or content == fact.content:
            return None
        return f"contains {str(content)[:200]}, but {fact.content} is expected"
    except (ValueError, RecursionError) as error:
        return f"is not JSON ({error})"


class Stamps:
    """Stored SHA-256 hashes of the files of one folder. A hash is valid until its file changes.

    If the user's cache folder is not writable, nothing is stored and no error is raised.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        key = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:32]
        cache = user_cache_if_any()
        self._file = cache / "verified" / f"{key}.json" if cache else None
        self._known = self._remembered()
        self._changed = False

    def _remembered(self) -> dict[str, Any]:
        """The stored hashes; {} if there are none or if another user may have written them."""
        try:
            if self._file is None:
                return {}
            with os.fdopen(opened_private(self._file, os.O_RDONLY), "rb") as file:
                content = json.load(file)
        except (OSError, ValueError, RecursionError):
            return {}
        return content if isinstance(content, dict) else {}

    def sha256(self, path: str) -> str:
        """The SHA-256 (hex) of a file. path: relative to the folder."""
        before = _stat_key(self.folder / path)
        match self._known.get(path):
            case [mark, str(known)] if mark == before:
                return known
        digest = sha256(self.folder / path)
        if _stat_key(self.folder / path) == before:  # not changed while it was read
            self._known[path] = [before, digest]
            self._changed = True
        return digest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._changed and self._file:
            with suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._file, self._known)


def _stat_key(file: Path) -> list[int]:
    return identity(file.stat())


def sha256(file: Path) -> str:
    """SHA-256 (hex) of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a temporary file and renames it, so that no reader sees an incomplete file."""
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)  # left by a process that was killed
    new = opened(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(new, "w", encoding="utf-8") as text:
        text.write(json.dumps(content, indent=1) + "\n")
        text.flush()
        os.fsync(new)
    part.replace(file)
