"""The HTTP APIs: Cloudflare Workers AI, OpenAI, Ollama, text-embeddings-inference.

A new one is a file with a subclass of `Dialect`, and its line in `DIALECTS`.
"""

from engine.serve.dialects.cloudflare import Cloudflare
from engine.serve.dialects.dialect import Dialect
from engine.serve.dialects.ollama import Ollama
from engine.serve.dialects.openai import OpenAI
from engine.serve.dialects.tei.routes import TEI

# The first that owns a path writes its errors; TEI owns every path, so it is the last.
DIALECTS: tuple[type[Dialect], ...] = (OpenAI, Cloudflare, Ollama, TEI)

__all__ = ["DIALECTS", "Dialect"]
