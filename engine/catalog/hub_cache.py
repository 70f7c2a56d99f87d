"""The hub's own cache, where other programs put what they fetch: read, never written to."""

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
    """The folder of a snapshot that is this model, or None.

    Pinned files decide by their hashes. Where nothing is pinned, it is the commit that the cache
    calls by the revision's name, and as whole as a download that was not interrupted leaves it.
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
    """The commit of a snapshot; None for any other folder."""
    return folder.name if folder.parent.name == "snapshots" else None


def _is_good(folder: Path, wanted: Entry) -> bool:
    try:
        check(folder, wanted)
        return bool(wanted.sizes) or _is_whole(folder)
    except (CheckpointError, OSError):
        return False


def _is_whole(folder: Path) -> bool:
    """Whether configuration, tokenizer and weights are there, for a repository of any layout.

    A program that reads only the transformer leaves modules.json out, and the vectors would be
    others; the cache notes it where the repository itself has none.
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
    """The right commit first. Of pinned files any other will do: their hashes decide."""
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
    """Where huggingface_hub has it, which is slow to import. None where no home is known."""
    given = os.environ.get
    home = given("HF_HOME") or Path(given("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = given("HF_HUB_CACHE") or given("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
    try:
        return expand(os.path.expandvars(cache))
    except EngineError:
        return None
