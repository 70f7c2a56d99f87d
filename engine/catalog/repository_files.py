"""Repositories on the hub: valid names and revisions, and the files that the engine reads."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from engine.errors import CheckpointError, InputError

# The rules of the hub. A valid name or path cannot lead out of a folder ("..", "/" at the start).
PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
NAME = re.compile(f"({PART})/({PART})")
PATH = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
LONGEST = 96  # characters of each part of a name

# Files of one module: of the transformer, of sentence-transformers, of Dense and other modules.
# Pickles (pytorch_model.bin) are never read. Case is ignored, as on some file systems.
READ = re.compile(
    r"(config|config_sentence_transformers|modules|sentence_[a-z-]+_config|adapter_config"
    r"|added_tokens|special_tokens_map|tokenizer|tokenizer_config)\.json|vocab\.txt"
    r"|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json",
    re.IGNORECASE,
)
SINGLE = "model.safetensors"
SHARD = re.compile(r"model(-\d+-of-\d+\.safetensors|\.safetensors\.index\.json)")


def is_hub_name(name: str) -> bool:
    """Whether `name` is a valid name of a repository on the hub: "org/name"."""
    match = NAME.fullmatch(name)
    if not match or "--" in name or ".." in name or name.endswith(".git"):
        return False
    return max(map(len, match.groups())) <= LONGEST


def is_weights(name: str) -> bool:
    """Whether a file that is read holds weights, or says which files do."""
    return name.lower().endswith((".safetensors", ".safetensors.index.json"))


def is_path(path: str) -> bool:
    """Whether `path` is a relative path with "/" that stays in its folder."""
    return bool(PATH.fullmatch(path))


def check_revision(revision: str | None) -> None:
    """Raises InputError unless `revision` is None or a valid name of a commit, branch or tag."""
    if revision is None or (isinstance(revision, str) and is_path(revision)):
        return
    raise InputError(
        f"revision is {revision!r}; it must be a commit, a branch or a tag of the hub "
        "(letters, digits, and . - _ / between them), or None."
    )


def module_folders(modules: Any, where: str) -> list[str]:
    """The folders of the modules in modules.json, in order. The first is the transformer's.

    "" is the folder of modules.json itself. modules: the parsed file. where: its name for the
    message. Raises CheckpointError.
    """
    if not isinstance(modules, list):
        raise CheckpointError(
            f"{where} is a {type(modules).__name__}; it must be a list of modules."
        )
    folders = []
    for row in modules:
        folder = row.get("path") if isinstance(row, dict) else None
        if not isinstance(folder, str) or (folder and not is_path(folder)):
            seen = repr(folder)[:60] if isinstance(folder, str) else f"a {type(folder).__name__}"
            raise CheckpointError(
                f"{where} has a module whose path is {seen}; it must be the name of a folder "
                'beside that file, or "".'
            )
        folders.append(folder)
    return folders or [""]


def files_read(paths: Iterable[str], folders: Collection[str]) -> list[str]:
    """The paths that the engine reads, sorted: files of the root and of the modules' `folders`.

    Shards are left out if the same folder has the weights in a single file.
    """
    there = set(paths)
    return sorted(
        prefix + name
        for prefix in {f"{folder}/" if folder else "" for folder in ("", *folders)}
        for name in (path.removeprefix(prefix) for path in there if path.startswith(prefix))
        if READ.fullmatch(name) and not (SHARD.fullmatch(name) and prefix + SINGLE in there)
    )
