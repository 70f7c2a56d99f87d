"""The OpenAPI document of this server: its models, its limits, whether it requires a token."""

from collections.abc import Iterable
from typing import Any

from engine import __version__
from engine.serve.dialects.dialect import Dialect
from engine.serve.dialects.schemas import REASONS, Paths, operation
from engine.serve.service import Service

ABOUT = """Text embeddings in four dialects: Cloudflare Workers AI, OpenAI, Ollama, and Hugging
Face's text-embeddings-inference. Vectors have unit length. Texts over the model's limit are
truncated; the response header x-truncated-texts counts them. Cloudflare's route uses mean pooling
by default, the others use the checkpoint's; the header x-pooling names it. Bodies are parsed as
JSON whatever their content type. TEI's routes serve the first model."""


def document(service: Service, dialects: Iterable[Dialect]) -> dict[str, Any]:
    """OpenAPI 3.1, for the loaded models."""
    own = operation("openapi", "This document", {"type": "object"})
    own["responses"]["401"] = {"description": REASONS["401"]}
    own["tags"] = ["This server"]
    paths: Paths = {"/openapi.json": {"get": own}}
    for dialect in dialects:
        paths |= _tagged(dialect.openapi_paths(), dialect.title or dialect.name)
    return {
        "openapi": "3.1.0",
        "info": {"title": "bge-engine", "version": __version__, "description": ABOUT},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}] if service.settings.all_tokens else [],
    }


def _tagged(paths: Paths, tag: str) -> Paths:
    """The paths, each operation with that tag: tools show operations by tag."""
    for path in paths.values():
        for method in path.keys() & {"get", "post"}:
            path[method]["tags"] = [tag]
    return paths
