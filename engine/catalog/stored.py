"""What this package keeps on disk: downloaded models, and prepared weights and kernels.

Models in the cache of huggingface_hub are not listed: other programs use them too.
"""

import os
import re
import secrets
import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.catalog.staging import Staging, locked
from engine.system.folders import prepared_home, weights_home

# as `engine.fast.weights.prepared` names them; with the stamp of a check, or partly written
PREPARED = re.compile(r"(.+)-[0-9a-f]{32}\.(weights|kernels)(?:\.checked|\.part)?")
UNFINISHED = re.compile(r"(.+)-(?:[0-9a-f]{12}|pypi)")  # as Staging.root


@dataclass(frozen=True)
class Stored:
    """A downloaded model with its unfinished downloads, or what was prepared under one name.

    kind: "model", "weights" or "kernels". Files that other versions of this package prepared have
    the same name. size: bytes. used: when a file was last read or written, as far as the file
    system notes it, in seconds since 1970.
    """

    kind: str
    name: str
    paths: tuple[Path, ...]
    size: int
    used: float


def stored() -> list[Stored]:
    """Everything that is kept: models first, each kind by its name."""
    return [*_models(), *_prepared()]


def remove(entry: Stored) -> None:
    """Deletes the files. A process that uses them keeps them until it ends.

    A model disappears at once, and a download of it is waited for. Raises OSError.
    """
    model = weights_home() / entry.name
    with locked(model) if entry.kind == "model" else nullcontext():
        for path in entry.paths:
            if path.is_dir() and not path.is_symlink():
                _remove_folder(path, model)
            else:
                path.unlink(missing_ok=True)


def _remove_folder(folder: Path, model: Path) -> None:
    """Renames it first, so that no load finds half a model. Is listed again after a crash."""
    gone = model.parent / Staging.FOLDER / f"{model.name}-{secrets.token_hex(6)}"
    gone.parent.mkdir(exist_ok=True)
    shutil.rmtree(folder.rename(gone))


def _models() -> Iterator[Stored]:
    home = weights_home()
    found = defaultdict(list)
    for folder in _entries(home):
        if (folder / "config.json").is_file() or (folder / "modules.json").is_file():
            found[folder.name].append(folder)
    for folder in _entries(home / Staging.FOLDER):
        if (match := UNFINISHED.fullmatch(folder.name)) and folder.is_dir():
            found[match[1]].append(folder)
    for name, folders in sorted(found.items()):
        files = [file for folder in folders for file in _files(folder)]
        yield Stored("model", name, tuple(folders), *_facts(files))


def _prepared() -> Iterator[Stored]:
    home, found = prepared_home(), defaultdict(list)
    for file in _entries(home) if home else []:
        if match := PREPARED.fullmatch(file.name):
            found[match[2], match[1]].append(file)
    for (kind, name), files in sorted(found.items()):
        yield Stored(kind, name, tuple(files), *_facts(files))


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def _facts(files: list[Path]) -> tuple[int, float]:
    """The total size in bytes, and the last use."""
    facts = []
    for file in files:
        with suppress(FileNotFoundError):  # another process has just removed it
            facts.append(file.lstat())
    used = max((max(one.st_atime, one.st_mtime) for one in facts), default=0.0)
    return sum(one.st_size for one in facts), used
