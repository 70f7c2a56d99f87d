"""The cache of huggingface_hub, which other programs share. It is read and never written."""

import os
from collections.abc import Iterator
from pathlib import Path

from engine.catalog.identity import check
from engine.catalog.models import Entry
from engine.catalog.repository_files import files_read, is_path, module_folders
from engine.catalog.verify import is_kind
from engine.checkpoint.json_files import read_json
from engine.errors import CheckpointError, EngineError
from engine.system.folders import expand


def find_snapshot(wanted: Entry) -> Path | None:
    """The folder of a snapshot that holds this model; None if there is none.

    Pinned files are compared by their hashes. If nothing is pinned, the snapshot is the commit
    that the cache has for the revision, and it must be complete.
    """
    if (home := _home()) is None:
        return None
    snapshots = home / f"models--{wanted.hub_id.replace('/', '--')}" / "snapshots"
    for commit in _commits(snapshots, wanted):
        folder = snapshots / commit
        if is_kind(folder, Path.is_dir) and _is_good(folder, wanted):
            return folder
    return None


def commit_of(folder: Path) -> str | None:
    """The commit hash of a snapshot; None for any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


def _is_good(folder: Path, wanted: Entry) -> bool:
    try:
        check(folder, wanted)
        return bool(wanted.sizes) or _is_complete(folder)
    except (CheckpointError, OSError):
        return False


def _is_complete(folder: Path) -> bool:
    """Whether configuration, tokenizer and weights exist, for a repository of any layout.

    A program that reads only the transformer does not download modules.json. The vectors would
    then differ. So a snapshot without it is accepted only if the cache has recorded that the
    repository itself has no such file (.no_exist).
    """
    modules, folders = folder / "modules.json", [""]
    if modules.is_file():
        folders = module_folders(read_json(modules), str(modules))
    elif not (folder.parent.parent / ".no_exist" / folder.name / modules.name).is_file():
        return False
    transformer = folder / folders[0]
    names = files_read((file.name for file in transformer.iterdir()), [""])
    tokenizer = {"tokenizer.json", "vocab.txt"} & set(names)
    weights = any(name.endswith(".safetensors") for name in names)
    return bool("config.json" in names and tokenizer and weights)


def _commits(snapshots: Path, wanted: Entry) -> Iterator[str]:
    """Names of snapshots to try, the most likely first. Any commit may hold the pinned files."""
    reference = snapshots.parent / "refs" / (wanted.revision or "main")
    if is_kind(reference, Path.is_file):
        commit = reference.read_text("utf-8", "replace").strip()
        if is_path(commit) and "/" not in commit:
            yield commit
    if wanted.revision:
        yield wanted.revision
    if wanted.files and is_kind(snapshots, Path.is_dir):
        yield from sorted(folder.name for folder in snapshots.iterdir())


def _home() -> Path | None:
    """The folder that huggingface_hub uses; the library itself is slow to import.

    None if the home directory is needed and unknown.
    """
    given = os.environ.get
    home = given("HF_HOME") or Path(given("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = given("HF_HUB_CACHE") or given("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
    try:
        return expand(os.path.expandvars(cache))
    except EngineError:
        return None
