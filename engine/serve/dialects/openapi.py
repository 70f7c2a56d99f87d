"""The OpenAPI document of this very server: its models, its limits, whether it asks for tokens."""

from collections.abc import Iterable
from typing import Any

from engine import __version__
from engine.serve.dialects.openai import FORMATS, MAX_INPUTS
from engine.serve.dialects.schemas import (
    ENVELOPE_ERROR,
    INTEGER,
    NUMBERS,
    OPENAI_ERROR,
    POLL,
    RUN_INPUT,
    RUN_OUTPUT,
    STRING,
    TEI_ERROR,
    VECTORS,
    Schema,
    array,
    envelope,
    nullable,
    obj,
    texts,
)
from engine.serve.service import Service

ABOUT = """Text embeddings in three dialects: Cloudflare Workers AI, OpenAI, and Hugging Face's
text-embeddings-inference. Vectors have unit length. A text over the model's limit is cut, and the
answer says how many were in x-truncated-texts. By default Cloudflare's route pools by mean, the
others as the checkpoint says; every answer names its pooling in x-pooling. Bodies are read as JSON
whatever their content type. TEI's routes serve the first model."""
ACCOUNT = "/client/v4/accounts/{account}"
REASONS = {
    "400": "The request cannot be understood",
    "401": "No valid token",
    "404": "Not known here",
    "408": "Too slow",
    "413": "The body is too large",
    "422": "A field cannot be meant",
    "424": "The model failed",
    "429": "No room for more work just now; see retry-after",
    "500": "The server failed",
}
NAME = {"type": "string", "minLength": 1}
CLOUDFLARE_ERRORS = ("400", "401", "404", "408", "413", "429", "500")
TEI_ERRORS = ("400", "408", "413", "422", "424", "429", "500")


def document(service: Service) -> dict[str, Any]:
    """OpenAPI 3.1, for the models loaded."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "bge-engine", "version": __version__, "description": ABOUT},
        "paths": _cloudflare(service) | _openai(service) | _tei(service) | _public(),
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}] if service.settings.tokens else [],
    }


def _names(service: Service) -> list[str]:
    return [name for served in service.models.all for name in served.names]


def _cloudflare(service: Service) -> dict[str, Any]:
    model = {"type": "string", "enum": _names(service)}
    run = _operation("run", "Embed texts, now or queued; poll", envelope(RUN_OUTPUT))
    run["requestBody"] = _body({"anyOf": [RUN_INPUT, POLL]} if service.queue else RUN_INPUT)
    run["parameters"] = [_in_path("account"), _in_path("model", model)]
    if service.queue:
        about = "true: queue the requests, and answer with a request_id to poll with"
        queue = {"name": "queueRequest", "in": "query", "schema": STRING, "description": about}
        run["parameters"].append(queue)
    search = _operation("searchModels", "The models", envelope(array({"type": "object"})))
    search["parameters"] = [_in_path("account")]
    schema = _operation("modelSchema", "A model's input", envelope({"type": "object"}))
    schema["parameters"] = [
        _in_path("account"),
        {"name": "model", "in": "query", "required": True, "schema": model},
    ]
    verify = _operation("verifyToken", "Whether the token is valid", envelope({"type": "object"}))
    paths = {
        f"{ACCOUNT}/ai/run/{{model}}": {"post": run},
        f"{ACCOUNT}/ai/models/search": {"get": search},
        f"{ACCOUNT}/ai/models/schema": {"get": schema},
        "/client/v4/user/tokens/verify": {"get": verify},
        f"{ACCOUNT}/tokens/verify": {
            "get": {
                **verify,
                "operationId": "verifyAccountToken",
                "parameters": [_in_path("account")],
            }
        },
    }
    return _with_errors(paths, CLOUDFLARE_ERRORS, ENVELOPE_ERROR)


def _openai(service: Service) -> dict[str, Any]:
    names = {"type": "string", "enum": _names(service)}
    largest = min(served.embedder.dim for served in service.models.all)
    asked = {
        "model": names,
        "input": texts(MAX_INPUTS),
        "encoding_format": {"enum": [*FORMATS, None]},
        "dimensions": nullable("integer", minimum=1, maximum=largest),
        "pooling": {"enum": ["mean", "cls", None]},
        "user": nullable("string"),
    }
    vector = {"oneOf": [NUMBERS, {"type": "string", "contentEncoding": "base64"}]}
    item = obj({"object": {"const": "embedding"}, "index": INTEGER, "embedding": vector})
    usage = obj({"prompt_tokens": INTEGER, "total_tokens": INTEGER}, "prompt_tokens total_tokens")
    answer = obj(
        {"object": {"const": "list"}, "data": array(item), "model": STRING, "usage": usage},
        "object data model usage",
    )
    model = obj({"id": STRING, "object": {"const": "model"}, "owned_by": STRING}, "id object")
    models = obj({"object": {"const": "list"}, "data": array(model)}, "object data")
    paths: dict[str, Any] = {}
    for prefix, suffix, parameters in (
        ("/v1", "", []),
        (f"{ACCOUNT}/ai/v1", "Account", [_in_path("account")]),
    ):
        embed = _operation(f"createEmbeddings{suffix}", "Embed texts", answer)
        embed["requestBody"] = _body(obj(asked, "model input"))
        paths[f"{prefix}/embeddings"] = {"post": embed, "parameters": parameters}
        listing = _operation(f"listModels{suffix}", "The models", models)
        paths[f"{prefix}/models"] = {"get": listing, "parameters": parameters}
        one = _operation(f"getModel{suffix}", "One model", model)
        of_model = [*parameters, _in_path("model", names)]
        paths[f"{prefix}/models/{{model}}"] = {"get": one, "parameters": of_model}
    return _with_errors(paths, CLOUDFLARE_ERRORS, OPENAI_ERROR)


def _tei(service: Service) -> dict[str, Any]:
    token = obj(
        {
            "id": INTEGER,
            "text": STRING,
            "special": {"type": "boolean"},
            "start": nullable("integer"),
            "stop": nullable("integer"),
        },
        "id text special start stop",
    )
    responses = (VECTORS, array(VECTORS), NUMBERS, array(array(token)))
    paths: dict[str, Any] = {}
    for (name, body), response in zip(_tei_bodies(service).items(), responses, strict=True):
        operation = _operation(name, f"As TEI's /{name}", response)
        operation["requestBody"] = _body(body)
        paths[f"/{name}"] = {"post": operation}
    paths["/info"] = {"get": _operation("info", "The model and the limits", {"type": "object"})}
    paths = _with_errors(paths, TEI_ERRORS, TEI_ERROR)
    for path in paths.values():
        for operation in path.values():
            operation["responses"]["401"] = {"description": REASONS["401"]}
    return paths


def _tei_bodies(service: Service) -> dict[str, Any]:
    """The request bodies of TEI's routes, by the route's name."""
    embedder, most = service.models.first.embedder, service.settings.max_client_batch_size
    prompt = {"enum": [*embedder.prompts, None]}
    boolean = nullable("boolean")
    cut = {
        "truncate": boolean,
        "truncation_direction": {"enum": ["Left", "Right", "left", "right", None]},
        "prompt_name": prompt,
    }
    inputs = {"inputs": texts(most)}
    dimensions = nullable("integer", minimum=1, maximum=embedder.dim)
    text = {"type": "string", "minLength": 1}
    sentences = array(text, minItems=1, maxItems=most - 1)
    pair = obj({"source_sentence": text, "sentences": sentences}, "source_sentence sentences")
    cut_or_null = {"oneOf": [obj(cut), {"type": "null"}]}
    return {
        "embed": obj({**inputs, **cut, "normalize": boolean, "dimensions": dimensions}, "inputs"),
        "embed_all": obj({**inputs, **cut}, "inputs"),
        "similarity": obj({"inputs": pair, "parameters": cut_or_null}, "inputs"),
        "tokenize": obj({**inputs, "add_special_tokens": boolean, "prompt_name": prompt}, "inputs"),
    }


def _public() -> dict[str, Any]:
    """Open to everybody, tokens or not."""
    plain = {"200": {"description": "as said", "content": {"text/plain": {"schema": STRING}}}}
    paths = {
        path: {"get": {"operationId": name, "summary": about, "responses": plain, "security": []}}
        for path, name, about in (
            ("/health", "health", "200 when the models are warm"),
            ("/ping", "ping", "The same"),
            ("/metrics", "metrics", "For Prometheus, under TEI's names"),
        )
    }
    own = _operation("openapi", "This document", {"type": "object"})
    own["responses"]["401"] = {"description": REASONS["401"]}
    return {**paths, "/openapi.json": {"get": own}}


def _operation(name: str, about: str, answer: Schema) -> dict[str, Any]:
    return {"operationId": name, "summary": about, "responses": {"200": _json("done", answer)}}


def _with_errors(paths: dict[str, Any], statuses: Iterable[str], error: Schema) -> dict[str, Any]:
    for path in paths.values():
        for method in path.keys() & {"get", "post"}:
            for status in statuses:
                path[method]["responses"][status] = _json(REASONS[status], error)
    return paths


def _json(about: str, schema: Schema) -> dict[str, Any]:
    return {"description": about, "content": {"application/json": {"schema": schema}}}


def _body(schema: Schema) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _in_path(name: str, schema: Schema = NAME) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}
