"""Cloudflare's JSON Schemas and OpenAPI paths; tests hold the routes to them."""

from engine.literals import POOLINGS
from engine.serve.dialects.cloudflare_validation import MAX_TEXTS
from engine.serve.dialects.schemas import (
    ACCOUNT,
    BOOLEAN,
    INTEGER,
    REASONS,
    STRING,
    TEXT,
    VECTORS,
    Paths,
    Schema,
    array,
    obj,
    operation,
    path_parameter,
    request_body,
    response,
    texts,
    with_errors,
)
from engine.serve.service import Service

STATUSES = ("400", "401", "404", "408", "413", "429", "500")
POOLING = {"type": "string", "enum": list(POOLINGS), "default": "mean"}
TEXTS = texts(MAX_TEXTS)
REFERENCE = {"description": "returned with the result"}
ANY_TEXT = {"anyOf": [TEXT, array({})]}
ANY_ITEM = obj({"text": ANY_TEXT, "pooling": POOLING}, "text")
ITEM = obj({"text": TEXTS, "pooling": POOLING, "external_reference": REFERENCE}, "text")
RUN_INPUT = {
    "type": "object",
    "properties": {"options": obj({"rejectIfBusy": {**BOOLEAN, "default": False}})},
    # The route decides on the form by a loose match, and refuses a body that has both forms.
    "oneOf": [ANY_ITEM, obj({"requests": array(ANY_ITEM)}, "requests")],
    "anyOf": [
        obj({"text": TEXTS, "pooling": POOLING}, "text"),
        obj({"requests": array(ITEM, minItems=1)}, "requests"),
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
        "success": BOOLEAN,
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
ERROR = obj({"code": INTEGER, "message": STRING}, "code message")
ENVELOPE_ERROR = obj(
    {
        "success": {"const": False},
        "errors": array(ERROR, minItems=1),
        "messages": array({}),
        "result": {"type": ["object", "null"]},
    },
    "success errors messages result",
)


def envelope(result: Schema) -> Schema:
    """Cloudflare's body of a successful response."""
    return obj(
        {
            "result": result,
            "success": {"const": True},
            "errors": array({}, maxItems=0),
            "messages": array({}),
        },
        "result success errors messages",
    )


def paths(service: Service) -> Paths:
    """The routes of the Cloudflare dialect."""
    model = {"type": "string", "enum": service.models.names}
    anything = envelope({"type": "object"})
    account = path_parameter("account")
    run = operation("run", "Embed texts, now or queued; poll", envelope(RUN_OUTPUT))
    run["requestBody"] = request_body(
        {"anyOf": [RUN_INPUT, POLL]} if service.has_queue else RUN_INPUT
    )
    run["parameters"] = [account, path_parameter("model", model)]
    if service.has_queue:
        about = "true: queue the requests and return a request_id to poll with"
        queue = {"name": "queueRequest", "in": "query", "schema": STRING, "description": about}
        run["parameters"].append(queue)
    search = operation("searchModels", "The models", envelope(array({"type": "object"})))
    search["parameters"] = [account]
    schema = operation("modelSchema", "A model's input", anything)
    schema["parameters"] = [
        account,
        {"name": "model", "in": "query", "required": True, "schema": model},
    ]
    verify = operation("verifyToken", "Whether the token is valid", anything)
    verify_account = operation("verifyAccountToken", "Whether the token is valid", anything)
    verify_account["parameters"] = [account]
    found = {
        f"{ACCOUNT}/ai/run/{{model}}": {"post": run},
        f"{ACCOUNT}/ai/models/search": {"get": search},
        f"{ACCOUNT}/ai/models/schema": {"get": schema},
        "/client/v4/user/tokens/verify": {"get": verify},
        f"{ACCOUNT}/tokens/verify": {"get": verify_account},
    }
    if service.has_queue:
        run["responses"]["507"] = response(REASONS["507"], ENVELOPE_ERROR)
    return with_errors(found, (*STATUSES, "503"), ENVELOPE_ERROR)
