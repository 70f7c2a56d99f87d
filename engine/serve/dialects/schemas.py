"""Helpers for JSON Schemas and OpenAPI operations."""

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]
Paths = dict[str, Any]

ACCOUNT = "/client/v4/accounts/{account}"  # Cloudflare's prefix, also of its OpenAI routes
REASONS = {
    "400": "The request is invalid",
    "401": "No valid token",
    "404": "Unknown route, model or batch",
    "408": "Timeout",
    "413": "The body is too large",
    "422": "A field is invalid",
    "424": "The model failed",
    "429": "The server is overloaded; see retry-after",
    "500": "Internal server error",
    "503": "Not available at the moment; see retry-after",
    "507": "The disk of the batch queue is full",
}


def obj(properties: Schema, required: str = "", **more: Any) -> Schema:
    """An object with those properties; `required` lists names separated by spaces."""
    schema: Schema = {"type": "object", "properties": properties, **more}
    if required:
        schema["required"] = required.split()
    return schema


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def texts(most: int) -> Schema:
    """One string or an array of up to `most` strings, none of them empty."""
    return {"oneOf": [TEXT, array(TEXT, minItems=1, maxItems=most)]}


def texts_or_ids(most: int, vocabulary: int) -> Schema:
    """The same, or the token ids of one text or of several."""
    return {"oneOf": [*texts(most)["oneOf"], *token_ids(most, vocabulary)["oneOf"]]}


def token_ids(most: int, vocabulary: int) -> Schema:
    """The token ids of one text or of up to `most`."""
    ids = array({**INTEGER, "maximum": vocabulary - 1}, minItems=1)
    return {"oneOf": [ids, array(ids, minItems=1, maxItems=most)]}


def model_name(names: list[str], *, optional: bool) -> Schema:
    """One of the names; or null, where there is only one model."""
    return {"enum": [*names, None]} if optional else {"type": "string", "enum": names}


def nullable(kind: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more}


STRING = {"type": "string"}
TEXT = {"type": "string", "minLength": 1}
INTEGER = {"type": "integer", "minimum": 0}
BOOLEAN = {"type": "boolean"}
NUMBERS = array({"type": "number"})
VECTORS = array(NUMBERS)


def operation(name: str, summary: str, result: Schema) -> dict[str, Any]:
    """An OpenAPI operation that returns 200 with that JSON."""
    return {"operationId": name, "summary": summary, "responses": {"200": response("OK", result)}}


def response(description: str, schema: Schema, media_type: str = "application/json") -> Schema:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def request_body(schema: Schema) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def path_parameter(name: str, schema: Schema = TEXT) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def with_errors(paths: Paths, statuses: Iterable[str], error: Schema) -> Paths:
    """The paths, each operation with those error responses."""
    for path in paths.values():
        for method in path.keys() & {"get", "post"}:
            for status in statuses:
                path[method]["responses"][status] = response(REASONS[status], error)
    return paths
