"""The stored form of a batch request: JSON text, and in it vectors as base64 of float32.

Items are cut into slices, each computed and stored in one go. The outcome of an item is stored as
a response in JSON, of which float32 arrays come back bit for bit.
"""

import base64
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from engine.errors import EngineError, InputError

log = logging.getLogger(__name__)

Item = dict[str, Any]
Outcome = Mapping[str, Any]  # "success", "result", "error", "prompt_tokens"
Response = dict[str, Any]

SLICE_ITEMS = 32
SLICE_BYTES = 64 * 1024  # some 16,000 tokens: seconds of work at most are lost with a process


def cut_into_slices(items: Sequence[Item]) -> tuple[list[tuple[int, str]], int]:
    """The slices, each as (index of its first item, JSON list), and the bytes of all items.

    InputError when an item is no JSON object that can be stored.
    """
    slices: list[tuple[int, list[bytes]]] = []
    total = room = 0
    for index, item in enumerate(items):
        text = _item_to_json(index, item)
        if not slices or len(text) > room or len(slices[-1][1]) == SLICE_ITEMS:
            slices.append((index, []))
            room = SLICE_BYTES
        slices[-1][1].append(text)
        room -= len(text)
        total += len(text)
    return [(first, _list(texts)) for first, texts in slices], total


def _item_to_json(index: int, item: Item) -> bytes:
    try:
        return orjson.dumps(item)
    except TypeError as error:
        raise InputError(
            f"request {index} of the batch cannot be stored: {error}; "
            "give JSON of well-formed Unicode, nested less than 250 deep"
        ) from None


def _list(texts: Iterable[bytes]) -> str:
    return (b"[%b]" % b",".join(texts)).decode()


def failure(message: str) -> Outcome:
    """The outcome of an item that could not be computed."""
    error = {"message": message}
    return {"success": False, "result": None, "error": error, "prompt_tokens": 0}


def failure_of(error: Exception) -> Outcome:
    """The outcome of an item whose computation raised; only our own messages are shown."""
    if isinstance(error, EngineError):
        return failure(str(error))
    log.error("an item of a batch request failed", exc_info=error)
    return failure(f"internal error ({type(error).__name__})")


def encode(first: int, items: Iterable[Item], outcomes: Iterable[Outcome]) -> str:
    """The responses of a slice as a JSON list."""
    pairs = enumerate(zip(items, outcomes, strict=True), first)
    return _list(_encode_one(index, item, outcome) for index, (item, outcome) in pairs)


def _encode_one(index: int, item: Item, outcome: Outcome) -> bytes:
    """A result that has no JSON form becomes a failure of this item alone."""
    reference = item.get("external_reference")
    try:
        return _response_to_json(index, reference, outcome)
    except Exception as error:
        return _response_to_json(index, reference, failure_of(error))


def _response_to_json(index: int, reference: Any, outcome: Outcome) -> bytes:
    result, arrays = outcome["result"], {}
    if isinstance(result, dict):
        arrays = {key: _array(value) for key, value in result.items() if _is_float32(value)}
        result = {key: value for key, value in result.items() if key not in arrays}
    stored = {
        "id": index,
        "success": bool(outcome["success"]),
        "result": result,
        "arrays": arrays,
        "error": outcome.get("error"),
        "external_reference": reference,
        "prompt_tokens": int(outcome.get("prompt_tokens") or 0),
    }
    return orjson.dumps(stored, option=orjson.OPT_SERIALIZE_NUMPY)


def _is_float32(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float32


def _array(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    data = np.ascontiguousarray(values, dtype="<f4")
    return {"shape": values.shape, "base64": base64.b64encode(data.tobytes()).decode()}


def decode(slices: Iterable[str]) -> tuple[list[Response], int]:
    """The responses of all slices of a request, and the tokens they cost."""
    stored = [response for text in slices for response in orjson.loads(text)]
    tokens = sum(response["prompt_tokens"] for response in stored)
    return [_decode_one(response) for response in stored], tokens


def _decode_one(stored: Mapping[str, Any]) -> Response:
    """The response as the API shows it, its arrays as (read-only) numpy arrays again."""
    response = {key: stored[key] for key in ("id", "result", "success", "external_reference")}
    for key, array in stored["arrays"].items():
        data = np.frombuffer(base64.b64decode(array["base64"]), dtype="<f4")
        response["result"][key] = data.reshape(array["shape"])
    if not stored["success"]:
        response["error"] = stored["error"]
    return response
