"""Repositories on the hub: which names and revisions are valid, which files the engine reads."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from engine.errors import CheckpointError, InputError

# As the hub has them. Nothing that is valid can lead out of a folder when it is part of a path.
PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
NAME = re.compile(f"({PART})/({PART})")
PATH = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
LONGEST = 96  # characters of each half of a name

# Files of one module: those of the transformer, of sentence-transformers, and of Dense and others.
# No pickle (pytorch_model.bin) is among them. In any case of letters: some disks do not tell.
READ = re.compile(
    r"(config|config_sentence_transformers|modules|sentence_[a-z-]+_config|adapter_config"
    r"|added_tokens|special_tokens_map|tokenizer|tokenizer_config)\.json|vocab\.txt"
    r"|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json",
    re.IGNORECASE,
)
SINGLE = "model.safetensors"
SHARD = re.compile(r"model(-\d+-of-\d+\.safetensors|\.safetensors\.index\.json)")


def is_hub_name(name: str) -> bool:
    """Whether `name` can be a repository on the hub: "org/name"."""
    match = NAME.fullmatch(name)
    if not match or "--" in name or ".." in name or name.endswith(".git"):
        return False
    return max(map(len, match.groups())) <= LONGEST


def is_path(path: str) -> bool:
    """Whether `path` is relative, has "/" between its parts, and stays below its folder."""
    return bool(PATH.fullmatch(path))


def check_revision(revision: str | None) -> None:
    """Raises InputError unless `revision` can be a commit, a branch or a tag."""
    if revision is None or (isinstance(revision, str) and is_path(revision)):
        return
    raise InputError(
        f"revision is {revision!r}; it may be a commit, a branch or a tag of the hub "
        "(letters, digits, and . - _ / between them), or None."
    )


def module_folders(modules: Any, where: str) -> list[str]:
    """The paths in modules.json, in order; the first is that of the transformer, often "".

    modules: the parsed file. Raises CheckpointError, which names the file as `where`.
    """
    if not isinstance(modules, list):
        raise CheckpointError(f"{where} is a {type(modules).__name__}, not a list of modules.")
    folders = []
    for row in modules:
        folder = row.get("path") if isinstance(row, dict) else None
        if not isinstance(folder, str) or (folder and not is_path(folder)):
            seen = repr(folder)[:60] if isinstance(folder, str) else f"a {type(folder).__name__}"
            raise CheckpointError(
                f"{where} has a module whose path is {seen}; it may be the name of a folder "
                'beside that file, or "".'
            )
        folders.append(folder)
    return folders or [""]


def files_read(paths: Iterable[str], folders: Collection[str]) -> list[str]:
    """Those of `paths` that the engine reads, where modules lie in `folders`; the root is read too.

    Shards are left out where the same folder has the weights in a single file.
    """
    there = set(paths)
    return sorted(
        prefix + name
        for prefix in {f"{folder}/" if folder else "" for folder in ("", *folders)}
        for name in (path.removeprefix(prefix) for path in there if path.startswith(prefix))
        if READ.fullmatch(name) and not (SHARD.fullmatch(name) and prefix + SINGLE in there)
    )
