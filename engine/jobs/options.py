"""The options of a job."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InputError
from engine.literals import Precision

EMBEDDING, SCALE, FILE, ROW = "embedding", "scale", "file", "row"
CHUNK, START, END, TEXT = "chunk", "start", "end", "text"  # with --chunk-tokens
INPUT_FORMATS = ("text", "jsonl", "csv", "tsv", "tsv-unquoted", "parquet")
NULLS = REJECT, EMPTY, SKIP_FIELD = "reject", "empty", "skip-field"  # what --null may be
OUTPUT_FORMATS = ("parquet", "npy")
DTYPES = ("float32", "float16", "int8")
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


@dataclass(frozen=True)
class Template:
    """A text made of columns: literal, column, literal, column, ..., literal."""

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    def render(self, values: Sequence[str | None]) -> str:
        """The text. A value that is None is left out, with the literal that joins it to the others:
        of "{title}\n{body}" only the other one is left, and no line break.
        """
        first, *joints, last = self.literals
        text, before = first, ""
        for value, joint in zip(values, (*joints, last), strict=True):
            if value is not None:
                text, before = text + before + value, joint
        return text + last


@dataclass(frozen=True)
class Fields:
    """Which columns of the input make the text, identify the row, or are copied."""

    text: Template
    id: str | None
    keep: tuple[str, ...]
    null: str = REJECT  # what becomes of a row whose text has a null or missing column

    @property
    def carried(self) -> tuple[str, ...]:
        return ((self.id,) if self.id else ()) + self.keep


@dataclass(frozen=True)
class Options:
    inputs: tuple[str, ...]
    output: str
    model: str
    precision: Precision
    revision: str | None
    offline: bool
    threads: int | None
    pooling: str | None
    prompt: str | None
    query: bool
    normalize: bool | None
    truncate_dim: int | None
    chunk_tokens: int | None
    chunk_overlap: float
    fields: Fields
    input_format: str | None
    format: str
    dtype: str
    shard_rows: int
    max_rejects: int | None
    ray: str | None
    quiet: bool
    update: bool
    keep_removed: bool


def parse_template(text: str) -> Template:
    """Read `--text`: a column's name, or a template such as "{title}\\n{body}".

    In a template \\n, \\t and \\\\ mean newline, tab and backslash, {{ and }} mean braces.
    """
    if "{" not in text and "}" not in text:
        return Template(("", ""), (text,))
    literals, columns, literal = [], [], ""
    for before, name, spec, conversion in _pieces(text):
        literal += _unescape(before)
        if name is None:
            continue
        if not name or spec or conversion:
            raise InputError(f"--text {text!r}: write a column's name in braces, like {{title}}")
        literals.append(literal)
        columns.append(name)
        literal = ""
    if not columns:
        raise InputError(f"--text {text!r} names no column; write a name in braces, like {{title}}")
    return Template((*literals, literal), tuple(columns))


def _pieces(text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(text))
    except ValueError as error:
        raise InputError(f"--text {text!r} is not a valid template: {error}") from None


def _unescape(literal: str) -> str:
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[0]), literal)


def check_names(fields: Fields, *, chunked: bool = False) -> None:
    """InputError: a copied column has the name of another column of the output."""
    names = fields.carried
    reserved = {EMBEDDING, SCALE} | ({FILE, ROW} if fields.id is None else set())
    reserved |= {CHUNK, START, END, TEXT} if chunked else set()
    for name in names:
        if name in reserved:
            raise InputError(f"column {name!r} conflicts with the output's own {name!r} column")
        if names.count(name) > 1:
            raise InputError(f"column {name!r} is given twice in --id and --keep")
