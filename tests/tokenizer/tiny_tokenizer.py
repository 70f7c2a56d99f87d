"""Folders with the tokenizer of the tiny checkpoint, changed in one place or another."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.tokenizer.tokens import Tokenizer
from tests.support.synthetic import TINY

ROWS = 242  # of its embedding table
REMOVED: Any = object()


def content() -> dict[str, Any]:
    """tokenizer.json of the tiny checkpoint."""
    return dict(json.loads((TINY / "tokenizer.json").read_text("utf-8")))


def write(folder: Path, files: Mapping[str, Any] | None = None, **config: Any) -> Path:
    """Writes the tokenizer; `config` changes tokenizer_config.json, `files` whole JSON files."""
    folder.mkdir(exist_ok=True)
    settings = json.loads((TINY / "tokenizer_config.json").read_text("utf-8")) | config
    kept = {key: value for key, value in settings.items() if value is not REMOVED}
    everything = {"tokenizer.json": content(), "tokenizer_config.json": kept, **(files or {})}
    for name, value in everything.items():
        if value is not REMOVED:
            text = value if isinstance(value, str) else json.dumps(value)
            (folder / name).write_text(text, "utf-8")
    return folder


def generic(**changes: Any) -> dict[str, Any]:
    """tokenizer.json with changed parts, for `tokenizer_class` PreTrainedTokenizerFast."""
    return {**content(), **changes}


def vocabulary() -> str:
    """vocab.txt of the tiny checkpoint."""
    return (TINY / "vocab.txt").read_text("utf-8")


def load(folder: Path, **options: Any) -> Tokenizer:
    return Tokenizer(folder, **{"max_tokens": 64, "vocabulary": ROWS, **options})


def ids(tokenizer: Tokenizer, text: str, **options: Any) -> list[int]:
    """Token ids of one text, without [CLS] and [SEP]."""
    (tokens,) = tokenizer.tokenize([text], special=False, **options)
    found: list[int] = tokens.ids.tolist()
    return found
