"""What the command works on: a model, and texts from arguments, lines, or a field of JSON lines."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import engine
from engine.errors import InputError

if TYPE_CHECKING:
    from engine import Embedder

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
JSON_LINES = (".jsonl", ".ndjson")


def load_model(options: Namespace) -> Embedder:
    """The model that the options name, run as they say."""
    return engine.load(
        options.model,
        precision=options.precision,
        threads=options.threads,
        offline=options.offline,
    )


def open_texts(arguments: list[str], file: str | None, field: str | None) -> Iterator[str]:
    """The texts in order. A file is opened now: a wrong name is told before a model is loaded.

    Raises InputError on the way: a line is not UTF-8, not JSON, or has no string in `field`.
    """
    if file is None and arguments != ["-"]:
        return iter(arguments)
    if file in (None, "-"):
        if sys.stdin is None:
            raise InputError("Standard input is closed; there are no texts to be read from it.")
        return _texts(sys.stdin.buffer, "standard input", field)
    if field is None and file.endswith(JSON_LINES):
        field = "text"
    return _texts(Path(file).open("rb"), file, field)


def _texts(lines: Iterable[bytes], name: str, field: str | None) -> Iterator[str]:
    for number, raw in enumerate(lines, 1):
        where = f"{name}, line {number}"
        line = _decode(raw, where, first=number == 1)
        if field is None:
            yield line
        elif line.strip():
            yield _field(line, field, where)


def _decode(raw: bytes, where: str, *, first: bool) -> str:
    if first:
        raw = raw.removeprefix(BYTE_ORDER_MARK)
    try:
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        byte = f"byte {raw[error.start]:#04x} at column {error.start + 1}"
        raise InputError(
            f"{where}: not UTF-8 ({byte}). Convert it first: iconv -f latin1 -t utf-8"
        ) from error


def _field(line: str, field: str, where: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}). One object a line is needed.") from error
    if not isinstance(row, dict):
        raise InputError(f"{where}: a {type(row).__name__}; an object with {field!r} is needed.")
    if field not in row:
        fields = ", ".join(map(repr, row)) or "none"
        raise InputError(f"{where}: no field {field!r}; its fields are: {fields}.")
    text = row[field]
    if not isinstance(text, str):
        raise InputError(f"{where}: {field!r} is a {type(text).__name__}; a string is needed.")
    return text
