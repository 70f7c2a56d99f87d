"""Starts the server from its settings, runs it, and shuts it down."""

import asyncio
import contextlib
import gc
import math
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from engine import Embedder
from engine.errors import EngineError
from engine.serve.allocator import return_large_blocks
from engine.serve.app import App
from engine.serve.batching.batcher import Batcher
from engine.serve.batching.models import LoadModel, Models, ServedModel, load_model, names_of
from engine.serve.dialects import DIALECTS
from engine.serve.http.access_log import log_event, set_up_logging
from engine.serve.http.metrics import Metrics
from engine.serve.http.protocol import limited_protocol
from engine.serve.http.proxies import Proxies
from engine.serve.http.tracing import open_tracer
from engine.serve.http.unix_socket import unix_listener
from engine.serve.service import Service
from engine.serve.settings import Settings

# Response headers that pages of other origins may read.
SHOWN = ("x-request-id", "x-pooling", "x-truncated-texts", "retry-after")
SHARE = 0.75  # of all connections, for one address
SWITCH_S = 0.001  # thread switch interval: the event loop should not wait 5 ms for the GIL


class Server(uvicorn.Server):
    """uvicorn's server. SIGTERM ends it with status 0; the last responses close connections.
    SIGHUP reads the file of tokens again, if there is one."""

    def __init__(self, config: uvicorn.Config, app: App, greeting: dict[str, Any]) -> None:
        super().__init__(config)
        self.servers = []
        self._app, self._greeting = app, greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log_event("ready", **self._greeting)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._stop)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))
        if self._app.service.settings.tokens_file:
            loop.add_signal_handler(signal.SIGHUP, self._app.reload_tokens)
            self._app.reload_tokens()  # for a SIGHUP while the models were loaded
        yield

    def _stop(self) -> None:
        """Accepts no new connections. A second signal also ends the open ones."""
        self.force_exit = self.should_exit
        self.should_exit = self._app.draining = True
        for server in self.servers:
            server.close()


def serve(settings: Settings, load: LoadModel = load_model) -> int:
    """Runs until SIGTERM or SIGINT and returns 0. Raises EngineError if it cannot start."""
    set_up_logging()
    if settings.tokens_file:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server starts: it reads the file
    sys.setswitchinterval(SWITCH_S)
    return_large_blocks()
    _raise_file_limit(settings.max_connections + 64)
    with _listen(settings) as listener:
        tracer = open_tracer(settings.otlp_endpoint)
        service = service_of(settings, load)
        service.tracer = tracer
        gc.collect()
        gc.freeze()  # loaded models stay: keep later collections fast
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(service, listener))
    return 0


def service_of(settings: Settings, load: LoadModel = load_model) -> Service:
    """Loads the models without starting anything."""
    metrics = Metrics()
    models = [
        _served(load(choice, settings), choice.aliases, settings, metrics)
        for choice in settings.model
    ]
    return Service(settings, Models(models), metrics)


def _served(
    embedder: Embedder, aliases: Sequence[str], settings: Settings, metrics: Metrics
) -> ServedModel:
    names = names_of(embedder, aliases)
    counts = metrics.add_model(
        names[0], embedder.precision, embedder.threads, lambda: batcher.waiting
    )
    batcher = Batcher(
        embedder,
        batch_tokens=settings.max_batch_tokens,
        waiting_texts=settings.max_waiting_texts,
        waiting_tokens=settings.max_waiting_tokens,
        seconds=settings.request_timeout,
        observe_batch=counts.batch,
    )
    return ServedModel(embedder, batcher, names, settings.default_prompt or None)


async def _run(service: Service, listener: socket.socket) -> None:
    settings = service.settings
    service.models.start()
    queue = None
    if service.has_queue:
        from engine.serve.queue.opening import OpenQueue  # loads SQLAlchemy

        service.metrics.watch_queue(lambda: service.queue.waiting if service.queue else None)
        queue = OpenQueue(service)
        await queue.start()
    app = App(service)
    server = Server(_config(_for_pages(app, settings), settings), app, _greeting(service, listener))
    await server.serve(sockets=[listener])
    for task in server.server_state.tasks:  # none, unless a second signal came
        task.cancel()
    if queue is not None:
        await queue.stop()
    await service.models.stop()
    if service.tracer is not None:
        await asyncio.to_thread(service.tracer.close)
    log_event("stopped")


def _for_pages(app: ASGIApp, settings: Settings) -> ASGIApp:
    """The application with what browsers ask before a page of another origin may use it."""
    origins = settings.cors_allow_origin.split()
    if not origins:
        return app
    return CORSMiddleware(
        app, origins, allow_methods=("GET", "POST"), allow_headers=("*",), expose_headers=SHOWN
    )


def _config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=limited_protocol(
            settings.read_timeout,
            math.ceil(SHARE * settings.max_connections),
            Proxies(settings.trusted_proxies),
        ),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=settings.keep_alive,
        # for responses that clients read slowly: requests have their own limit
        timeout_graceful_shutdown=math.ceil(settings.request_timeout + settings.read_timeout),
        backlog=2048,
    )


def _greeting(service: Service, listener: socket.socket) -> dict[str, Any]:
    settings = service.settings
    return {
        "url": f"unix:{settings.uds}" if settings.uds else _url(*listener.getsockname()[:2]),
        "tokens": len(settings.all_tokens),
        "queue": service.queue is not None,
        "models": [_model_info(served) for served in service.models.all],
    }


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _model_info(served: ServedModel) -> dict[str, Any]:
    pooling = {one.name: one.default_pooling or served.embedder.pooling for one in DIALECTS}
    return {**served.about, "default_pooling": pooling}


@contextlib.contextmanager
def _listen(settings: Settings) -> Iterator[socket.socket]:
    """Binds the address before the models are loaded; connections are accepted after that."""
    if settings.uds:
        with unix_listener(settings.uds) as listener:
            yield listener
        return
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise EngineError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another address with --host and --port."
        ) from error
    with listener:
        yield listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # not available on Windows
        return None
    return uvloop.new_event_loop


def _raise_file_limit(wanted: int) -> None:
    """Raises this process's limit on open files, up to the hard limit."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
