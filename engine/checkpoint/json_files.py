"""JSON files of a checkpoint, with every value checked when it is read.

Every error is a CheckpointError that names the file, the field, its value, and what is allowed.
"""

import json
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from engine.errors import CheckpointError

REQUIRED: Any = object()


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None if there is no such file."""
    try:
        return json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return None
    except RecursionError as error:
        raise CheckpointError(f"{path} is nested too deeply to be read.") from error
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error


class JsonObject:
    """The fields of one JSON object. A null counts as a missing field."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path, self.content = path, content

    @classmethod
    def read(cls, path: Path) -> "JsonObject | None":
        """The object in `path`, or None if there is no such file."""
        content = read_json(path)
        if content is None and not path.exists():
            return None
        if not isinstance(content, dict):
            raise CheckpointError(
                f"{path} holds a JSON {type(content).__name__}; it must hold an object, {{...}}."
            )
        return cls(path, content)

    @classmethod
    def read_or_empty(cls, path: Path) -> "JsonObject":
        """The object in `path`; one without fields if there is no such file."""
        return cls.read(path) or cls(path, {})

    def integer(self, key: str, default: Any = REQUIRED, *, least: int = 1) -> Any:
        """An integer of at least `least`."""
        value = self.content.get(key)
        if value is None and default is not REQUIRED:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.invalid(key, f"an integer of at least {least}")
        return value

    def fraction(self, key: str, default: float) -> float:
        """A number between 0 and 1, both excluded."""
        value = self.content.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise self.invalid(key, "a number between 0 and 1")
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self.content.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.invalid(key, "true or false")
        return value

    def text(self, key: str, default: Any = REQUIRED) -> Any:
        """A string."""
        value = self.content.get(key)
        if value is None and default is not REQUIRED:
            return default
        if not isinstance(value, str):
            raise self.invalid(key, "a string")
        return value

    def texts(self, key: str) -> dict[str, str]:
        """An object whose values are strings; a null value counts as an empty string."""
        value = self.content.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.invalid(key, "an object of strings")
        for name, text in value.items():
            if text is not None and not isinstance(text, str):
                raise self.invalid(key, f"an object of strings, and {name!r} is not one")
        return {name: text or "" for name, text in value.items()}

    def choice(self, key: str, allowed: Collection[Any], default: Any = REQUIRED) -> Any:
        """One of the allowed values."""
        value = self.content.get(key)
        if value is None and default is not REQUIRED:
            return default
        if not any(value is one or (value == one and type(value) is type(one)) for one in allowed):
            names = ", ".join(json.dumps(one) for one in allowed)
            raise self.invalid(key, names if len(allowed) == 1 else f"one of {names}")
        return value

    def refuse(self, *keys: str) -> None:
        """Refuses settings that would change the result and are not supported."""
        for key in keys:
            if self.content.get(key) not in (None, {}, [], ""):
                raise self.invalid(key, "absent, because the engine does not support it")

    def allow_only(self, keys: Collection[str]) -> None:
        """Refuses a field that is not in `keys`."""
        for key in self.content:
            if key not in keys:
                raise self.invalid(key, f"absent; the known fields are {', '.join(sorted(keys))}")

    def invalid(self, key: str, allowed: str) -> CheckpointError:
        """The error for the value of `key`."""
        value = self.content.get(key, "missing")
        return CheckpointError(
            f"{self.path}: {key} is {short(value)}; it must be {allowed}. Correct the file, or use "
            "another checkpoint (`bge models` lists those that are known to work)."
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)


def short(value: Any) -> str:
    """A value for an error message, in at most 100 characters."""
    text = "missing" if value == "missing" else _dumped(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _dumped(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return f"a value of type {type(value).__name__}"
