"""The source of `engine.model`, for the page to show beside its numbers."""

import inspect
from typing import TypedDict

from engine import model


class Function(TypedDict):
    """`first`: the number of its first line in model.py."""

    first: int
    lines: list[str]


def functions() -> dict[str, Function]:
    """The functions of model.py by name, as they are at run time."""
    found: dict[str, Function] = {}
    for name, function in inspect.getmembers(model, inspect.isfunction):
        lines, first = inspect.getsourcelines(function)
        found[name] = {"first": first, "lines": [line.rstrip("\n") for line in lines]}
    return found
