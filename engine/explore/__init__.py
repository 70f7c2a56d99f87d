"""`bge explore`: a page on this machine that shows what the model does with your texts.

Read `server` (the address, the start and the end), `app` (which request gets what), `answers` (the
numbers, from `engine.explain`), `source` (the lines of `model.py`), then `assets/main.js`.
"""

from collections.abc import Callable

from engine import Embedder


def explore(load: Callable[[], Embedder], *, port: int, open_page: bool) -> int:
    """Serves the page on 127.0.0.1 until Ctrl-C, and returns 0. Needs the extra `explore`.

    load: called once the port is ours. port: 0 takes a free one. open_page: in the user's browser.
    Raises EngineError if the port is taken, and what `load` raises.
    """
    from engine.explore.server import serve

    return serve(load, port=port, open_page=open_page)
