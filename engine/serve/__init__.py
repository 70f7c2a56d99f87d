"""The HTTP service: one engine behind the APIs of Cloudflare Workers AI, OpenAI and TEI."""

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """`bge serve`: the exit status. Needs the extra `serve`; raises EngineError."""
    from engine.serve.server import serve
    from engine.serve.settings import parse_settings

    return serve(parse_settings(argv))
