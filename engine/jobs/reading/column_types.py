"""The types of copied columns, for formats whose values have types and whose columns have none."""

import json
import re

MISSING = object()  # in the place of a value that is not there
BOOLS = {"true": True, "false": False}
INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?inf|nan", re.I)


def type_name(value: object) -> str:
    """Return the narrowest type that holds the value. What has no type of its own is a string."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return "int64"
    return "float64" if isinstance(value, float) else "string"


def common_type(names: set[str]) -> str:
    """Return the type that holds values of all these types."""
    if len(names) == 1:
        return next(iter(names))
    return "float64" if names == {"int64", "float64"} else "string"


def convert(value: object, kind: str) -> object:
    """Return the value in its column's type; None if it is null or missing.

    string: other values become their JSON. Other types: strings are parsed, as CSV has only these;
    an empty one is null. ValueError: the value does not fit.
    """
    if value is None or value is MISSING:
        return None
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        if not value:
            return None
        value = _parsed(value, kind)
    if type_name(value) == kind:
        return value
    if kind == "float64" and type(value) is int and abs(value) <= 1 << 53:  # exact up to there
        return float(value)
    raise ValueError


def _parsed(text: str, kind: str) -> object:
    if kind == "bool":
        return BOOLS.get(text.lower(), text)
    if INTEGER.fullmatch(text):
        return int(text) if len(text) < 30 else text
    return float(text) if kind == "float64" and NUMBER.fullmatch(text) else text
