"""The text of a row, made from its columns, or the reason why the row is rejected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.jobs.options import Fields
from engine.jobs.reading.column_types import MISSING, convert, type_name


@dataclass(frozen=True)
class BadRow:
    """Takes the place of a text; the reason why there is none, and the row's id if it has one."""

    reason: str
    id: str | int | float | None = None


Values = dict[str, Any] | BadRow
Rows = Iterator[tuple[int, Values]]  # number of the row in its file, values


def lookup(values: dict[str, Any], name: str) -> object:
    """Return a column's value, or MISSING: "a.b" is the key "a.b", or else "b" within "a"."""
    if name in values:
        return values[name]
    head, _, rest = name.partition(".")
    inner = values.get(head)
    return lookup(inner, rest) if rest and isinstance(inner, dict) else MISSING


def text_and_carried(values: Values, fields: Fields) -> tuple[str | BadRow, list[Any]]:
    """Return the text and the copied columns of a row; BadRow if one of them is invalid."""
    nothing: list[Any] = [None] * len(fields.carried)
    if isinstance(values, BadRow):
        return values, nothing
    text = compose([lookup(values, name) for name in fields.text.columns], fields)
    carried = [_carry(lookup(values, name), name, fields) for name in fields.carried]
    bad = [value for value in (text, *carried) if isinstance(value, BadRow)]
    if not bad:
        return text, carried
    id = carried[0] if fields.id and not isinstance(carried[0], BadRow) else None
    return BadRow(bad[0].reason, id), nothing


def compose(values: Sequence[object], fields: Fields) -> str | BadRow:
    """Fill the template with the columns' values; BadRow names a value that is not a string.

    `fields.null` decides what becomes of a value that is null or missing.
    """
    texts = []
    for name, value in zip(fields.text.columns, values, strict=True):
        if value is None or value is MISSING:
            if fields.null == "reject":
                return BadRow(f"{name!r} is null" if value is None else f"there is no {name!r}")
            value = ""
        if not isinstance(value, str):
            return BadRow(f"{name!r} is of type {type(value).__name__}, not a string")
        if not _is_unicode(value):
            return BadRow(_not_unicode(name))
        texts.append(value)
    if fields.null != "skip-field":
        return fields.text.render(texts)
    if not any(texts):
        return BadRow(f"null or empty: {', '.join(map(repr, fields.text.columns))}")
    return fields.text.render_filled(texts)


def _carry(value: object, name: str, fields: Fields) -> Any:
    kind = fields.types.get(name, "string")
    try:
        made = convert(value, kind)
    except ValueError:
        better = type_name(value) if kind in ("int64", "bool") else "string"
        return BadRow(f"{name!r} is {value!r:.80}, not of the column's type, {kind} (to change the "
                      f"type: {name}:{better} in --id or --keep)")  # fmt: skip
    if made is None and name == fields.id:
        return BadRow(f"{name!r}, the id, is null or missing")
    if isinstance(made, str) and not _is_unicode(made):
        return BadRow(_not_unicode(name))
    return made


def _not_unicode(name: str) -> str:
    return f"{name!r} is not valid Unicode: it holds bytes or half a surrogate pair"


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
