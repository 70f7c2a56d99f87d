"""The options of a job."""

import codecs
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import InputError
from engine.literals import Precision

EMBEDDING, SCALE, FILE, ROW = "embedding", "scale", "file", "row"
CHUNK, START, END, TEXT = "chunk", "start", "end", "text"  # with --chunk-tokens
INPUT_FORMATS = ("text", "document", "jsonl", "csv", "tsv", "parquet")
OUTPUT_FORMATS = ("parquet", "npy")
DTYPES = ("float32", "float16", "int8")
TYPES = ("string", "int64", "float64", "bool")
NULLS = ("reject", "empty", "skip-field")
QUOTINGS = ("standard", "none")
ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


@dataclass(frozen=True)
class Template:
    """A text made of columns: literal, column, literal, column, ..., literal."""

    literals: tuple[str, ...]
    columns: tuple[str, ...]

    def render(self, values: Sequence[str]) -> str:
        if len(values) == 1 and self.literals == ("", ""):
            return values[0]
        pairs = zip(values, self.literals[1:], strict=True)
        return self.literals[0] + "".join(value + literal for value, literal in pairs)

    def render_filled(self, values: Sequence[str]) -> str:
        """Leave out empty values, each with the literal before it.

        The text then begins or ends with a value: "Title: {a}\\nBody: {b}." without `a` is "B.".
        At least one value is not empty.
        """
        filled = [index for index, value in enumerate(values) if value]
        text = "".join(self.literals[index] + values[index] for index in filled)
        if filled[0] > 0:
            text = text.removeprefix(self.literals[filled[0]])
        return text + (self.literals[-1] if filled[-1] == len(values) - 1 else "")


@dataclass(frozen=True)
class Fields:
    """Which columns of the input make the text, identify the row, or are copied.

    null: what becomes of a null in the text, one of NULLS. types: of copied columns, where given;
    string for others, or their own where the format has types.
    """

    text: Template
    id: str | None
    keep: tuple[str, ...]
    null: str = "reject"
    types: Mapping[str, str] = field(default_factory=dict)

    @property
    def carried(self) -> tuple[str, ...]:
        return ((self.id,) if self.id else ()) + self.keep


@dataclass(frozen=True)
class Dialect:
    """How the bytes of a file are to be read; None is the default of its format.

    delimiter, quoting: of CSV and TSV. encoding: UTF-8, or as a byte order mark says.
    """

    delimiter: str | None = None
    quoting: str | None = None
    encoding: str | None = None


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
    dialect: Dialect
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


def parse_column(text: str) -> tuple[str, str | None]:
    """Read a name of --id or --keep, such as "year" or "year:int64", as name and type."""
    name, _, kind = text.rpartition(":")
    return (name, kind) if name and kind in TYPES else (text, None)


def parse_fields(
    text: str, id: str | None, keep: Sequence[str], null: str, *, chunked: bool = False
) -> Fields:
    """InputError: a column is named twice, or like one of the output's own."""
    columns = [parse_column(each) for each in keep]
    kept = tuple(name for name, _ in columns)
    if id is not None:
        columns.append(parse_column(id))
        id = columns[-1][0]
    types = {name: kind for name, kind in columns if kind}
    fields = Fields(parse_template(text), id, kept, null, types)
    check_names(fields, chunked=chunked)
    return fields


def parse_dialect(delimiter: str | None, quoting: str | None, encoding: str | None) -> Dialect:
    """InputError: the delimiter is not one character, or Python does not know the encoding."""
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '\r\n"'):
        raise InputError(
            f"--delimiter {delimiter!r} is not one character; give one, such as ; or |"
        )
    return Dialect(delimiter, quoting, None if encoding is None else _encoding(encoding))


def _encoding(name: str) -> str | None:
    """Return Python's name; None for UTF-8, the default, where bad bytes concern only their row."""
    try:
        "a".encode(name)  # LookupError also where it is a codec of something else than text
        known = codecs.lookup(name).name
    except (LookupError, UnicodeError):
        raise InputError(
            f"--encoding {name!r} is not one that Python knows; give one such as cp1252"
        ) from None
    return None if known == "utf-8" else known


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
