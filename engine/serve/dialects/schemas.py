"""JSON Schemas of what the routes take and give; the OpenAPI document and Cloudflare's schema route
show them, and the tests hold the routes to them."""

from typing import Any

from engine.literals import POOLINGS
from engine.serve.dialects.cloudflare_validation import MAX_TEXTS

Schema = dict[str, Any]


def obj(properties: Schema, required: str = "", **more: Any) -> Schema:
    """An object with those properties; `required` names some, separated by spaces."""
    schema: Schema = {"type": "object", "properties": properties, **more}
    if required:
        schema["required"] = required.split()
    return schema


def array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def texts(most: int) -> Schema:
    """One string or an array of them, none empty."""
    one = {"type": "string", "minLength": 1}
    return {"oneOf": [one, array(one, minItems=1, maxItems=most)]}


def nullable(kind: str, **more: Any) -> Schema:
    return {"type": [kind, "null"], **more}


NUMBERS = array({"type": "number"})
VECTORS = array(NUMBERS)
INTEGER = {"type": "integer", "minimum": 0}
STRING = {"type": "string"}

POOLING = {"type": "string", "enum": list(POOLINGS), "default": "mean"}
TEXT = texts(MAX_TEXTS)
REFERENCE = {"description": "returned with the result"}
ANY_TEXT = {"anyOf": [{"type": "string", "minLength": 1}, array({})]}
RUN_INPUT = {
    "type": "object",
    "properties": {"options": obj({"rejectIfBusy": {"type": "boolean", "default": False}})},
    # The route decides on the form by a loose match, and refuses a body that has both forms.
    "oneOf": [
        obj({"text": ANY_TEXT, "pooling": POOLING}, "text"),
        obj({"requests": array(obj({"text": ANY_TEXT, "pooling": POOLING}, "text"))}, "requests"),
    ],
    "anyOf": [
        obj({"text": TEXT, "pooling": POOLING}, "text"),
        obj(
            {
                "requests": array(
                    obj(
                        {"text": TEXT, "pooling": POOLING, "external_reference": REFERENCE}, "text"
                    ),
                    minItems=1,
                )
            },
            "requests",
        ),
    ],
}
RESULT = obj(
    {"shape": array(INTEGER, minItems=2, maxItems=2), "data": VECTORS, "pooling": POOLING},
    "shape data pooling",
)
BATCH_USAGE = obj(
    {"prompt_tokens": INTEGER, "completion_tokens": INTEGER, "total_tokens": INTEGER},
    "prompt_tokens completion_tokens total_tokens",
)
RESPONSE = obj(
    {
        "id": INTEGER,
        "success": {"type": "boolean"},
        "result": {"oneOf": [RESULT, {"type": "null"}]},
        "external_reference": REFERENCE,
        "error": obj({"code": INTEGER, "message": STRING}, "message"),
    },
    "id success result external_reference",
)
RUN_OUTPUT = {
    "oneOf": [
        RESULT,
        obj({"responses": array(RESPONSE), "usage": BATCH_USAGE}, "responses usage"),
        obj(
            {"status": {"enum": ["queued", "running"]}, "request_id": STRING, "model": STRING},
            "status request_id",
        ),
    ]
}
POLL = obj({"request_id": {"type": "string", "format": "uuid"}}, "request_id")

CF_ERROR = obj({"code": INTEGER, "message": STRING}, "code message")
ENVELOPE_ERROR = obj(
    {
        "success": {"const": False},
        "errors": array(CF_ERROR, minItems=1),
        "messages": array({}),
        "result": {"type": ["object", "null"]},
    },
    "success errors messages result",
)
OPENAI_ERROR = obj(
    {
        "error": obj(
            {
                "message": STRING,
                "type": STRING,
                "param": nullable("string"),
                "code": nullable("string"),
            },
            "message type param code",
        ),
        "errors": array(CF_ERROR, minItems=1),
        "success": {"const": False},
    },
    "error errors success",
)
TEI_ERROR = obj({"error": STRING, "error_type": STRING}, "error error_type")


def envelope(result: Schema) -> Schema:
    """Cloudflare's body of a success."""
    return obj(
        {
            "result": result,
            "success": {"const": True},
            "errors": array({}, maxItems=0),
            "messages": array({}),
        },
        "result success errors messages",
    )
