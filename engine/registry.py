"""From a name or a path to a folder of verified files.

Looked for in this order: the folder itself, if one is given; weights/<name>/ of the working
directory; $BGE_WEIGHTS/<name>/, by default in the user's cache folder; the hub's own cache; then
it is fetched.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from engine.errors import EngineError, ModelNotFound
from engine.facts import Entry, FileFact, PublishedCosine, PublishedVector, entries, entry
from engine.system.folders import expand
from engine.verify import Stamps, complaints, facts_of, read_record, verify_files, weights_home

__all__ = [
    "Entry",
    "FileFact",
    "PublishedCosine",
    "PublishedVector",
    "entries",
    "entry",
    "find",
    "locate",
    "weights_hash",
]


def locate(
    model: str | Path, *, offline: bool = False, revision: str | None = None, pull: bool = True
) -> Path:
    """The folder of a model; a known name's files are verified, and fetched if there are none.

    Nothing is fetched if `offline`, which opens no connection, or without `pull`. A folder that is
    given as such is the caller's own, and not compared with anything. Raises ModelNotFound, and
    CheckpointError for a file that is not what the registry expects.
    """
    if folder := _given(model):
        return folder
    wanted = entry(str(model)).at(revision)
    for folder in (Path("weights") / wanted.folder, weights_home() / wanted.folder):
        if folder.is_dir():
            verify_files(folder, wanted)
            return folder
    if cached := _in_hub_cache(wanted):
        return cached
    from engine import pull as puller  # and what fetching needs: not on the usual way

    if reason := "offline was asked for" if offline or not pull else puller.offline_reason():
        raise ModelNotFound(puller.ways_out(wanted, f"may not be fetched ({reason})"))
    return puller.pull(wanted, progress=puller.Meter() if sys.stderr.isatty() else None)


def find(model: str | Path, revision: str | None = None) -> Entry | None:
    """The registry's entry of a name, or of a folder that holds such a checkpoint's weights."""
    if folder := _given(model):
        return next((each for each in entries() if _holds(folder, each)), None)
    return entry(str(model)).at(revision)


def weights_hash(folder: Path) -> str:
    """SHA-256 (hex) of the weights: of the one file, or of the hashes of its shards in order."""
    from engine.tensor_files import weight_files

    with Stamps(folder) as stamps:
        hashes = [stamps.sha256(file.name) for file in weight_files(folder)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _given(model: str | Path) -> Path | None:
    """A folder that is meant as such. A known name is one only if a checkpoint lies there."""
    path = expand(model)
    if isinstance(model, Path) or path.is_absolute() or model.startswith(("./", "../", ".\\")):
        if not path.is_dir():
            raise ModelNotFound(f"There is no folder {path}. `bge models` lists the known names.")
        return path
    return path if (path / "config.json").is_file() else None


def _holds(folder: Path, known: Entry) -> bool:
    """By the weights' hash where one is pinned, else by what `bge pull` noted."""
    pinned, weights = known.files.get("model.safetensors", FileFact()), folder / "model.safetensors"
    if pinned.size is None:
        return read_record(folder).get("hub_id") == known.hub_id
    if not weights.is_file() or weights.stat().st_size != pinned.size:
        return False
    return weights_hash(folder) == pinned.sha256


def _in_hub_cache(wanted: Entry) -> Path | None:
    """A snapshot that another program fetched, if all its files are as expected."""
    if (cache := _hub_cache()) is None:
        return None
    snapshots = cache / f"models--{wanted.hub_id.replace('/', '--')}" / "snapshots"
    for commit in _commits(snapshots, wanted):
        folder = snapshots / commit
        if folder.is_dir() and not any(complaints(folder, facts_of(folder, wanted))):
            return folder
    return None


def _commits(snapshots: Path, wanted: Entry) -> Iterator[str]:
    """The right commit first. Of pinned files any other will do: their hashes decide."""
    reference = snapshots.parent / "refs" / (wanted.revision or "main")
    if reference.is_file():
        yield reference.read_text("utf-8").strip()
    if wanted.revision:
        yield wanted.revision
    if wanted.files and snapshots.is_dir():
        yield from sorted(folder.name for folder in snapshots.iterdir())


def _hub_cache() -> Path | None:
    """As huggingface_hub finds it, which is slow to import; None without a home directory."""
    given = os.environ.get
    home = given("HF_HOME") or Path(given("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = given("HF_HUB_CACHE") or given("HUGGINGFACE_HUB_CACHE") or Path(home) / "hub"
    try:
        return expand(os.path.expandvars(cache))
    except EngineError:
        return None
