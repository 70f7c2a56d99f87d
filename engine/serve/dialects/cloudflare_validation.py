"""Validation of Cloudflare's request bodies, with the error messages of Workers AI.

Workers AI validates with cabidela, an open-source JSON Schema validator whose messages reach the
client. Its `oneOf` tries each alternative and reports the messages of all of them, each once.
"""

from typing import Any, NoReturn

from engine.literals import POOLINGS
from engine.serve.http.errors import ErrorKind, HTTPError

MAX_TEXTS = 100
MAX_BATCH_TEXTS = 10_000  # per queued batch: all vectors are in one response
SHOWN = 100  # characters of a client's value shown in a message


class _Mismatch(Exception):
    """Ends the check of an alternative."""


class _Messages(dict[str, None]):
    """Messages in order, each once."""

    def add(self, message: str) -> None:
        self[message] = None


def check_run(body: Any) -> str:
    """The form of a body: "text" or "requests". Raises HTTPError INVALID if it is neither.

    Cabidela accepts some invalid bodies (an empty array, an array element that is not a string,
    more than 100 texts). They are refused here in its style.
    """
    messages = _Messages()
    fields = body if isinstance(body, dict) else {}
    forms = []
    for form, check in (("text", _check_request), ("requests", _check_batch)):
        try:
            check(fields, messages)
            forms.append(form)
        except _Mismatch as mismatch:
            messages.add(str(mismatch))
    if len(forms) != 1:
        _refuse(f"oneOf at '/' not met, {len(forms)} matches: {', '.join(messages)}")
    if forms == ["text"]:
        _check_texts(fields["text"], "/text")
    else:
        _check_requests(fields["requests"])
    return forms[0]


def check_item(item: Any) -> None:
    """Checks one request of a queued batch."""
    if check_run(item) != "text":
        _refuse("required properties at '/' are 'text'")


def check_batch(body: Any) -> list[dict[str, Any]]:
    """The requests of a batch to be queued. Each one is checked later, when it is computed."""
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list):
        _refuse("required properties at '/' are 'requests'")
    if not requests:
        _refuse("minItems at '/requests' is 1, got 0")
    texts = 0
    for i, request in enumerate(requests):
        if not isinstance(request, dict):
            _refuse(f"Type mismatch of '/requests/{i}', 'object' not in {_types(request)}")
        text = request.get("text")
        texts += len(text) if isinstance(text, list) else 1
    if texts > MAX_BATCH_TEXTS:
        _refuse(f"at most {MAX_BATCH_TEXTS} texts fit in '/requests', got {texts}")
    return requests


def check_option(body: dict[str, Any], name: str) -> bool:
    """A boolean under "options"; the default is false."""
    options = body.get("options", {})
    if not isinstance(options, dict):
        _refuse(f"Type mismatch of '/options', 'object' not in {_types(options)}")
    value = options.get(name, False)
    if not isinstance(value, bool):
        _refuse(f"Type mismatch of '/options/{name}', 'boolean' not in {_types(value)}")
    return value


def _refuse(message: str) -> NoReturn:
    raise HTTPError(ErrorKind.INVALID, f"Bad input: Error: {message}")


def _check_request(fields: dict[str, Any], messages: _Messages, at: str = "") -> None:
    matched = "text" in fields and _check_text(fields["text"], f"{at}/text", messages)
    if "pooling" in fields and fields["pooling"] not in POOLINGS:
        shown = _as_javascript(fields["pooling"])[:SHOWN]
        raise _Mismatch(f"enum {shown} not in {','.join(POOLINGS)} at '{at}/pooling'")
    if not matched:
        raise _Mismatch(f"required properties at '{at or '/'}' are 'text'")


def _check_batch(fields: dict[str, Any], messages: _Messages) -> None:
    requests = fields.get("requests")
    if isinstance(requests, str):
        raise _Mismatch("Type mismatch of '/requests', 'array' not in 'string'")
    if not isinstance(requests, list):
        raise _Mismatch("required properties at '/' are 'requests'")
    for i, request in enumerate(requests):
        if not isinstance(request, dict | list):
            raise _Mismatch(f"Type mismatch of '/requests/{i}', 'object' not in {_types(request)}")
        fields = request if isinstance(request, dict) else {}
        _check_request(fields, messages, f"/requests/{i}")


def _check_text(text: Any, at: str, messages: _Messages) -> bool:
    """A string of at least one character, or an array: each alternative may add a message."""
    if isinstance(text, str):
        if not text:
            messages.add(f"Length of '{at}' must be >= 1 not met")
        messages.add(f"Type mismatch of '{at}', 'array' not in 'string'")
        return bool(text)
    messages.add(f"Type mismatch of '{at}', 'string' not in {_types(text)}")
    return isinstance(text, list)


def _check_requests(requests: list[dict[str, Any]]) -> None:
    if not requests:
        _refuse("minItems at '/requests' is 1, got 0")
    for i, request in enumerate(requests):
        _check_texts(request["text"], f"/requests/{i}/text")


def _check_texts(texts: str | list[Any], at: str) -> None:
    if isinstance(texts, str):
        return
    if not texts:
        _refuse(f"minItems at '{at}' is 1, got 0")
    if len(texts) > MAX_TEXTS:
        _refuse(f"maxItems at '{at}' is {MAX_TEXTS}, got {len(texts)}")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            _refuse(f"Type mismatch of '{at}/{i}', 'string' not in {_types(text)}")
        if not text:
            _refuse(f"Length of '{at}/{i}' must be >= 1 not met")


def _types(value: Any) -> str:
    """A value's types in cabidela's words; an array of plain values is also "binary"."""
    if isinstance(value, bool):
        return "'boolean'"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "'number','integer'"
    if isinstance(value, list):
        plain = all(isinstance(each, int | float | str) and each is not True for each in value)
        return "'array','binary'" if plain else "'array'"
    return {float: "'number'", str: "'string'", dict: "'object'"}.get(type(value), "'null'")


def _as_javascript(value: Any, depth: int = 3) -> str:
    """JavaScript's string conversion of a value; nested lists to `depth` only."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        shown = value if depth else []
        return ",".join("" if each is None else _as_javascript(each, depth - 1) for each in shown)
    if isinstance(value, dict):
        return "[object Object]"
    return str(int(value)) if float(value).is_integer() else repr(value)
