"""The HTTP service: one engine behind the APIs of Cloudflare Workers AI, OpenAI and TEI."""

from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """`bge serve`: the exit status. Needs the extra `serve`, but not for --help or wrong usage.

    Raises EngineError when the server cannot start.
    """
    from engine.serve.settings import parse_settings

    settings = parse_settings(argv)
    from engine.serve.server import serve

    return serve(settings)
