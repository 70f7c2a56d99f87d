"""Checks that a folder holds the model that it is loaded as.

Pinned files are compared by their hashes. For other models the record of the download is compared,
and the sizes in config.json with those of the registry.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.catalog.models import Entry, FileFact, entries
from engine.catalog.record import read_record
from engine.catalog.repository_files import files_read, module_folders
from engine.catalog.verify import WEIGHTS, Stamps, by_path, facts_of, mismatches, verify_files
from engine.checkpoint.config import MODEL_TYPES
from engine.checkpoint.json_files import read_json
from engine.errors import CheckpointError

COMMIT_LENGTH = 40  # hexadecimal digits
# Values in config_sentence_transformers.json that change neither a vector nor a similarity.
SILENT = {
    "similarity_fn_name": ("cosine", None),
    "model_type": ("SentenceTransformer", None),
    "prompts": ({}, None),
}


def check(folder: Path, wanted: Entry) -> None:
    """Raises CheckpointError unless `folder`, in the user's weights or the cache, is that model."""
    verify_files(folder, wanted)
    if not wanted.files:
        _check_record(folder, wanted)
        if wanted.sizes:
            check_sizes(read_json(folder / "config.json"), wanted, str(folder / "config.json"))
            _check_weights_of_others(folder, wanted)


def check_untrusted(folder: Path, wanted: Entry) -> None:
    """As `check`, but for a folder in the working directory, which anybody may have put there.

    Only hashes pinned in the registry are trusted, and each file that is read must have one.
    """
    if not wanted.files:
        raise CheckpointError(
            f"{folder} is not loaded as {wanted.name}: no hashes are pinned for {_what(wanted)}, "
            "so its files cannot be verified. To load that folder, give its path, "
            f"{by_path(folder)}. To load {wanted.name} itself, rename the folder."
        )
    verify_files(folder, wanted)
    for path in _unexpected_files(folder, wanted):
        raise CheckpointError(
            f"{folder / path} is not one of the files that are pinned for {wanted.name}, and it "
            f"could change the vectors. Delete it, or give the folder's path, {by_path(folder)}, "
            "instead of the model's name."
        )


def is_model(folder: Path, wanted: Entry) -> bool:
    """Whether a folder given by its path holds this model, with no file added or changed.

    `wanted` is an entry with pinned files, or the entry that the folder's own record names.
    """
    try:
        facts = facts_of(folder, wanted)
        if not facts or any(mismatches(folder, facts)) or any(_unexpected_files(folder, wanted)):
            return False
        check(folder, wanted)
    except (CheckpointError, OSError):
        return False
    return True


def check_kind(config: Any, wanted: Entry, where: str) -> None:
    """Raises CheckpointError unless config.json has a supported model_type and this model's sizes.

    config: the parsed file. where: its name for the message.
    """
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in MODEL_TYPES:
        seen = repr(kind)[:60] if isinstance(config, dict) else "missing: it is not a JSON object"
        raise CheckpointError(
            f"{where}: model_type is {seen}; it must be {' or '.join(map(repr, MODEL_TYPES))}. "
            f"Nothing more of {wanted.hub_id} was downloaded. `bge models` lists checkpoints that "
            "can be loaded."
        )
    check_sizes(config, wanted, where)


def check_sizes(config: Any, wanted: Entry, where: str) -> None:
    """Raises CheckpointError if the sizes in config.json differ from those of the registry.

    config: the parsed file. where: its name for the message.
    """
    for field, size in wanted.sizes.items():
        seen = config.get(field) if isinstance(config, dict) else None
        if seen != size:
            raise CheckpointError(
                f"{where}: {field} is {repr(seen)[:60]}, but {wanted.name} has {size}. These are "
                f"files of another model. Delete the folder and download {wanted.name} with "
                f"`{wanted.command}`, or load the folder by its path instead of that name."
            )


def _check_record(folder: Path, wanted: Entry) -> None:
    record = read_record(folder)
    if record is None:
        return
    if record.hub_id.lower() != wanted.hub_id.lower():
        found = record.hub_id
    elif _is_commit(wanted.revision) and record.revision != wanted.revision:
        found = f"revision {record.revision}, not {wanted.revision}"
    else:
        return
    raise CheckpointError(
        f"{folder} was downloaded as {found}; it is not loaded as {wanted.name}. Delete it and "
        f"download {wanted.name} with `{wanted.command}`, or load the folder by its path."
    )


def _check_weights_of_others(folder: Path, wanted: Entry) -> None:
    """Raises CheckpointError if the weights are those of another model, by a pinned hash."""
    if not (folder / WEIGHTS).is_file():
        return
    with Stamps(folder) as stamps:
        seen = stamps.sha256(WEIGHTS)
    for other in entries():
        pinned = other.files.get(WEIGHTS, FileFact()).sha256
        if seen == pinned and other.hub_id != wanted.hub_id:
            raise CheckpointError(
                f"{folder / WEIGHTS} has the weights of {other.name}; the folder is not loaded as "
                f"{wanted.name}. Delete it and download {wanted.name} with `{wanted.command}`, or "
                "load the folder by its path."
            )


def _unexpected_files(folder: Path, wanted: Entry) -> Iterator[str]:
    """Files that the engine would read, but that are neither pinned nor recorded."""
    expected = facts_of(folder, wanted)
    for path in files_there(folder):
        if path not in expected and not _has_no_effect(folder / path):
            yield path


def files_there(folder: Path) -> list[str]:
    """The files of a folder that the engine reads, sorted. Raises CheckpointError."""
    modules = folder / "modules.json"
    folders = module_folders(read_json(modules), str(modules)) if modules.is_file() else [""]
    return files_read(_files_in(folder, {"", *folders}), folders)


def _files_in(folder: Path, below: set[str]) -> Iterator[str]:
    for name in below:
        if (folder / name).is_dir():
            for file in (folder / name).iterdir():
                yield file.relative_to(folder).as_posix()


def _has_no_effect(file: Path) -> bool:
    """Whether a file is config_sentence_transformers.json without a setting that matters.

    Its hash is not pinned for the BGE models of the hub, where it states only versions.
    """
    if file.name != "config_sentence_transformers.json":
        return False
    content = read_json(file)
    return isinstance(content, dict) and all(
        key == "__version__" or value in SILENT.get(key, (None,)) for key, value in content.items()
    )


def _is_commit(revision: str | None) -> bool:
    return revision is not None and len(revision) == COMMIT_LENGTH


def _what(wanted: Entry) -> str:
    return f"its revision {wanted.revision}" if "@" in wanted.folder else "that model"
