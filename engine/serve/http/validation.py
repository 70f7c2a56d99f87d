"""Checks of the fields of a JSON object; errors name the field, its value and what is allowed."""

from typing import Any

from engine.serve.http.errors import ErrorKind, HTTPError

SHOWN = 60


def object_of(body: Any) -> dict[str, Any]:
    """`body` itself; raises HTTPError unless it is a JSON object."""
    if not isinstance(body, dict):
        raise HTTPError(ErrorKind.INVALID, f"The body is {shown(body)}; it must be a JSON object.")
    return body


def flag(body: dict[str, Any], name: str, default: bool) -> bool:
    value = given(body, name, default)
    if not isinstance(value, bool):
        raise wrong(name, value, "true, false or null")
    return value


def choice(body: dict[str, Any], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = given(body, name, default)
    if value not in allowed:
        raise wrong(name, value, f"one of {', '.join(allowed)}")
    return value  # type: ignore[no-any-return]


def text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(name, value, "a string or null")
    return value


def whole_number(body: dict[str, Any], name: str) -> int | None:
    """An integer; JSON may also write it as 5.0."""
    value = body.get(name)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise wrong(name, value, "an integer or null")
    return value


def dimensions(body: dict[str, Any], most: int) -> int | None:
    """How many numbers of a vector are wanted."""
    value = whole_number(body, "dimensions")
    if value is not None and not 1 <= value <= most:
        raise wrong("dimensions", value, f"from 1 to {most}")
    return value


def strings(value: Any, name: str) -> list[str]:
    """A string, or an array of strings, as a list."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise wrong(name, value, "a string or an array of strings")
    for i, each in enumerate(value):
        if not isinstance(each, str):
            raise wrong(f"{name}[{i}]", each, "a string")
    return value


def texts_or_ids(value: Any, name: str) -> list[str] | list[list[int]]:
    """Strings as `strings` says, or the token ids of one text or of several."""
    if not isinstance(value, list) or not value or isinstance(value[0], str):
        return strings(value, name)
    return ids(value, name)


def ids(value: Any, name: str) -> list[list[int]]:
    """The token ids of one text or of several, as a list of lists."""
    if not isinstance(value, list) or not value:
        raise wrong(name, value, "an array of token ids, or of such arrays")
    if not isinstance(value[0], list):
        return [_ids(value, name)]
    return [_ids(each, f"{name}[{i}]") for i, each in enumerate(value)]


def _ids(value: Any, name: str) -> list[int]:
    if not isinstance(value, list):
        raise wrong(name, value, "an array of token ids, as the first is")
    ids = [int(x) if isinstance(x, float) and x.is_integer() else x for x in value]
    for x in ids:
        if not isinstance(x, int) or isinstance(x, bool):
            raise wrong(name, x, "a string or an array of strings, or of token ids")
    return ids


def wrong(name: str, value: Any, allowed: str) -> HTTPError:
    return HTTPError(
        ErrorKind.INVALID, f"`{name}` is {shown(value)}; it must be {allowed}.", param=name
    )


def shown(value: Any) -> str:
    """A value for a message: shortened; of containers only the type."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    names = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return names[value]
    return repr(value if not isinstance(value, str) else value[:SHOWN])


def given(body: dict[str, Any], name: str, default: Any) -> Any:
    value = body.get(name)
    return default if value is None else value
