"""Starts the page's server on this machine, and ends it with Ctrl-C."""

import contextlib
import socket
import sys
import webbrowser
from collections.abc import Callable

import uvicorn

from engine import Embedder
from engine.errors import EngineError
from engine.explore.app import app_of

HOST = "127.0.0.1"  # nobody else's machine: there is no authentication
CONNECTIONS = 64
PATIENCE_S = 2  # at the end, for results that are being computed


def serve(load: Callable[[], Embedder], *, port: int, open_page: bool) -> int:
    """Serves the page until Ctrl-C, and returns 0.

    load: called once the port is ours. port: 0 takes a free one. open_page: in the user's browser.
    Raises EngineError if the port is taken, and what `load` raises.
    """
    with _listen(port) as listener, load() as embedder:
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        print(f"bge: {embedder.name} is at {url} (Ctrl-C ends it)", file=sys.stderr, flush=True)
        if open_page:
            webbrowser.open(url)  # loads as soon as the server runs
        config = uvicorn.Config(
            app_of(embedder),
            ws="none",
            lifespan="off",
            log_level="error",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=PATIENCE_S,
        )
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn ends in order, then raises it again
            uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listen(port: int) -> socket.socket:
    """Binds the port before the model is loaded; until it is, connections wait."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise EngineError(
            f"cannot listen on {HOST} port {port}: {error.strerror}; choose another with --port."
        ) from error
    return listener
