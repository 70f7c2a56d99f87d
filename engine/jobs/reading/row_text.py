"""The text of a row, made from its columns, or the reason why the row is rejected."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.jobs.options import EMPTY, REJECT, Fields

MISSING = object()


@dataclass(frozen=True)
class BadRow:
    """Takes the place of a text, and holds the reason why there is none."""

    reason: str


Values = dict[str, Any] | BadRow


def text_and_carried(values: Values, fields: Fields) -> tuple[str | BadRow, list[str | None]]:
    """Return the text and the copied columns of a row; BadRow if one of them is invalid."""
    if isinstance(values, BadRow):
        return values, [None] * len(fields.carried)
    text = compose([values.get(name, MISSING) for name in fields.text.columns], fields)
    carried = [_as_string(values.get(name)) for name in fields.carried]
    if isinstance(text, str):
        text = _check_carried(carried, fields) or text
    return (text, carried) if isinstance(text, str) else (text, [None] * len(carried))


def compose(values: Sequence[object], fields: Fields) -> str | BadRow:
    """Fill the template with the columns' values; BadRow names a value that is not a string.

    What a null or missing value means, `fields.null` says.
    """
    filled: list[str | None] = []
    for name, value in zip(fields.text.columns, values, strict=True):
        if (value is None or value is MISSING) and fields.null != REJECT:
            filled.append("" if fields.null == EMPTY else None)
        elif not isinstance(value, str):
            return BadRow(_not_a_string(name, value))
        elif not _is_unicode(value):
            return BadRow(f"{name!r} is not valid Unicode: it holds bytes or half a surrogate pair")
        else:
            filled.append(value)
    if all(value is None for value in filled):
        return BadRow(f"{', '.join(map(repr, fields.text.columns))}: null or missing")
    return fields.text.render(filled)


def _not_a_string(name: str, value: object) -> str:
    if value is MISSING:
        return f"there is no {name!r}"
    if value is None:
        return f"{name!r} is null"
    return f"{name!r} is of type {type(value).__name__}, not a string"


def _check_carried(carried: Sequence[str | None], fields: Fields) -> BadRow | None:
    if fields.id and carried[0] is None:
        return BadRow(f"{fields.id!r}, the id, is null or missing")
    for name, value in zip(fields.carried, carried, strict=True):
        if value is not None and not _is_unicode(value):
            return BadRow(f"{name!r} is not valid Unicode: it holds bytes or half a surrogate pair")
    return None


def _as_string(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
