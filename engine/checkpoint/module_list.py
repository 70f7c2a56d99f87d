"""modules.json: which modules a checkpoint of sentence-transformers has, and where."""

import re
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from engine.checkpoint.json_files import JsonObject, read_json, short
from engine.errors import CheckpointError


class Module(NamedTuple):
    """A module of sentence-transformers: its kind, such as "Dense", and its folder."""

    kind: str
    folder: Path


TYPES = re.compile(
    r"sentence_transformers\.(models|base\.modules|sentence_transformer\.modules)(\.\w+)?"
    r"\.(?P<kind>Transformer|Pooling|Dense|LayerNorm|Normalize|Dropout)"
)


def list_modules(folder: Path) -> list[Module]:
    """The modules in modules.json, without Dropout; [] if there is no such file."""
    path = folder / "modules.json"
    listed = read_json(path)
    if listed is None and not path.exists():
        return []
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise CheckpointError(f"{path} is {short(listed)}; it must be a list of objects.")
    modules = [_module(folder, JsonObject(path, each)) for each in listed]
    kinds = [module.kind for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & {*kinds[2:]}:
        raise CheckpointError(
            f"{path} lists {', '.join(kinds) or 'no modules'}; the engine supports a Transformer, "
            "then a Pooling, then any of Dense, LayerNorm, Normalize and Dropout."
        )
    return [module for module in modules if module.kind != "Dropout"]  # it is used in training only


def _module(folder: Path, entry: JsonObject) -> Module:
    kind, path = TYPES.fullmatch(entry.text("type")), entry.text("path")
    if not kind:
        raise entry.invalid(
            "type",
            "a Transformer, Pooling, Dense, LayerNorm, Normalize or Dropout of "
            "sentence_transformers; other modules are not supported",
        )
    windows = PureWindowsPath(path)  # its rules cover those of POSIX
    if windows.anchor or ".." in windows.parts or "\0" in path:
        raise entry.invalid("path", "a folder inside the checkpoint")
    return Module(kind["kind"], folder / path)
