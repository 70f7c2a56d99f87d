"""The OpenAPI paths of text-embeddings-inference's routes."""

from engine.serve.dialects import chunking
from engine.serve.dialects.output_types import SCHEMA
from engine.serve.dialects.schemas import (
    BOOLEAN,
    INTEGER,
    NUMBERS,
    STRING,
    TEXT,
    VECTORS,
    Paths,
    Schema,
    array,
    nullable,
    obj,
    operation,
    request_body,
    response,
    texts,
    texts_or_ids,
    token_ids,
    with_errors,
)
from engine.serve.service import Service

STATUSES = ("400", "401", "408", "413", "422", "424", "429", "500")
ERROR = obj({"error": STRING, "error_type": STRING}, "error error_type")
TOKEN = obj(
    {
        "id": INTEGER,
        "text": STRING,
        "special": BOOLEAN,
        "start": nullable("integer"),
        "stop": nullable("integer"),
    },
    "id text special start stop",
)
CHUNK = obj({**chunking.SPAN, "embedding": NUMBERS}, "start end embedding")
RESULTS = {
    "embed": array({"oneOf": [NUMBERS, array(CHUNK)]}),
    "embed_all": array(VECTORS),
    "similarity": NUMBERS,
    "tokenize": array(array(TOKEN)),
    "decode": array(STRING),
}


def paths(service: Service) -> Paths:
    """The routes of the TEI dialect; those of `_probes` need no token."""
    found: Paths = {}
    bodies = _bodies(service)
    for name, body in bodies.items():
        post = operation(name, f"As TEI's /{name}", RESULTS[name])
        post["requestBody"] = request_body(body)
        found[f"/{name}"] = {"post": post}
    for path, name, also in (("/", "root", "similarity"), ("/invocations", "invocations", "")):
        kinds = ["embed", also] if also else ["embed"]
        post = operation(name, f"As {' or '.join(kinds)}", {"oneOf": [RESULTS[k] for k in kinds]})
        post["requestBody"] = request_body({"oneOf": [bodies[kind] for kind in kinds]})
        found[path] = {"post": post}
    found["/info"] = {"get": operation("info", "The model and the limits", {"type": "object"})}
    found = with_errors(found, STATUSES, ERROR)
    for path, probe in _probes().items():
        found[path] = found.get(path, {}) | probe
    return found


def _bodies(service: Service) -> dict[str, Schema]:
    """The request bodies by route."""
    embedder, most = service.models.first.embedder, service.settings.max_client_batch_size
    prompt = {"enum": [*embedder.prompts, None]}
    boolean = nullable("boolean")
    truncation = {
        "truncate": boolean,
        "truncation_direction": {"enum": ["Left", "Right", "left", "right", None]},
        "prompt_name": prompt,
    }
    vocabulary = embedder.config.vocabulary
    inputs, ids = {"inputs": texts(most)}, {"inputs": texts_or_ids(most, vocabulary)}
    dimensions = nullable("integer", minimum=1, maximum=embedder.dim)
    embed = {**ids, **truncation, "normalize": boolean, "dimensions": dimensions}
    embed |= {"output_dtype": SCHEMA, "chunking": chunking.schema([service.models.first])}
    sentences = array(TEXT, minItems=1, maxItems=most - 1)
    pair = obj({"source_sentence": TEXT, "sentences": sentences}, "source_sentence sentences")
    parameters = {"oneOf": [obj(truncation), {"type": "null"}]}
    return {
        "embed": obj(embed, "inputs"),
        "embed_all": obj({**ids, **truncation}, "inputs"),
        "similarity": obj({"inputs": pair, "parameters": parameters}, "inputs"),
        "decode": obj({"ids": token_ids(most, vocabulary), "skip_special_tokens": boolean}, "ids"),
        "tokenize": obj({**inputs, "add_special_tokens": boolean, "prompt_name": prompt}, "inputs"),
    }


def _probes() -> Paths:
    about = {
        "": "200 when the models are loaded",
        "health": "The same",
        "ping": "The same",
        "metrics": "For Prometheus, under TEI's names",
    }
    plain = {"200": response("OK", STRING, "text/plain")}
    return {
        f"/{name}": {
            "get": {
                "operationId": name or "alive",
                "summary": summary,
                "responses": plain,
                "security": [],
            }
        }
        for name, summary in about.items()
    }
