"""The stored form of a batch request: JSON throughout, and vectors as base64 of float32.

Items are cut into slices, each computed and kept in one go. The outcome of an item is kept as a
response in JSON, of which float32 arrays come back bit for bit.
"""

import base64
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
from dbos import DBOS, Serializer, WorkflowStatus

from engine.errors import EngineError, InputError

log = logging.getLogger(__name__)

Item = dict[str, Any]
Response = dict[str, Any]

SLICE_ITEMS = 32
SLICE_BYTES = 64 * 1024  # some 16,000 tokens: seconds of work at most are lost with a process


class Json(Serializer):
    """What the queue's library stores, it stores through here; its own default is pickle."""

    def name(self) -> str:
        """The name that every stored row bears."""
        return "bge_json"

    def serialize(self, data: Any) -> str:
        """JSON text; what has no JSON form (an exception) becomes its description."""
        return orjson.dumps(data, default=repr).decode()

    def deserialize(cls, serialized_data: str) -> Any:
        """The JSON value."""
        return orjson.loads(serialized_data)


def sliced(items: Sequence[Item]) -> tuple[list[list[Item]], int]:
    """The items in order, cut into slices, and their size in bytes as JSON.

    InputError when an item is no JSON object that can be stored.
    """
    slices: list[list[Item]] = []
    total = room = 0
    for index, item in enumerate(items):
        size = _size(index, item)
        if not slices or size > room or len(slices[-1]) == SLICE_ITEMS:
            slices.append([])
            room = SLICE_BYTES
        slices[-1].append(item)
        room -= size
        total += size
    return slices, total


def _size(index: int, item: Item) -> int:
    try:
        return len(orjson.dumps(item))
    except TypeError as error:
        raise InputError(
            f"request {index} of the batch cannot be stored: {error}; "
            "give JSON of well-formed Unicode, nested less than 250 deep"
        ) from None


def failure(error: Any) -> dict[str, Any]:
    """The outcome of an item that could not be computed."""
    return {"success": False, "result": None, "error": error, "prompt_tokens": 0}


def failure_of(error: Exception) -> dict[str, Any]:
    """The outcome of an item whose computation raised: our own errors speak for themselves."""
    if isinstance(error, EngineError):
        return failure({"message": str(error)})
    log.error("an item of a batch request failed", exc_info=error)
    return failure({"message": f"internal error ({type(error).__name__})"})


def packed(index: int, item: Item, outcome: Mapping[str, Any]) -> orjson.Fragment:
    """One response as JSON; a result without a JSON form becomes a failure of this item alone."""
    reference = item.get("external_reference")
    try:
        return orjson.Fragment(_json(index, reference, outcome))
    except Exception as error:
        return orjson.Fragment(_json(index, reference, failure_of(error)))


def _json(index: int, reference: Any, outcome: Mapping[str, Any]) -> bytes:
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


def read(row: WorkflowStatus) -> tuple[list[Response], int]:
    """The responses of a finished request, in order, and the tokens they cost.

    One that was given up has failures in place of what it did not come to.
    """
    steps = DBOS.list_workflow_steps(row.workflow_id)
    stored = [answer for step in steps for answer in (step["output"] or {})["responses"]]
    responses = [_unpacked(answer) for answer in stored]
    if row.status != "SUCCESS":
        responses += _missing(row.workflow_id, {answer["id"] for answer in stored})
        responses.sort(key=lambda response: int(response["id"]))
    return responses, sum(answer["prompt_tokens"] for answer in stored)


def _unpacked(stored: Mapping[str, Any]) -> Response:
    """The response as the API shows it, its arrays as (read-only) numpy arrays again."""
    response = {key: stored[key] for key in ("id", "result", "success", "external_reference")}
    for key, array in stored["arrays"].items():
        data = np.frombuffer(base64.b64decode(array["base64"]), dtype="<f4")
        response["result"][key] = data.reshape(array["shape"])
    if not stored["success"]:
        response["error"] = stored["error"]
    return response


def _missing(request_id: str, answered: set[int]) -> list[Response]:
    request = DBOS.list_workflows(workflow_ids=[request_id], load_output=False)[0].input
    items = [item for part in request["args"][1] for item in part] if request else []
    lost = failure({"message": "given up: this request was begun too often without being finished"})
    return [
        _unpacked(orjson.loads(_json(index, item.get("external_reference"), lost)))
        for index, item in enumerate(items)
        if index not in answered
    ]


def usage(prompt_tokens: int) -> dict[str, int]:
    """The account of a whole request; nothing is generated, so completion is always 0."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 0,
        "total_tokens": prompt_tokens,
    }
