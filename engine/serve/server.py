"""From settings to a running server, and to its end."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

from engine.errors import EngineError
from engine.serve.app import App
from engine.serve.batching.batcher import Batcher
from engine.serve.batching.models import Load, Models, Served, load_model, names_of
from engine.serve.dialects.cloudflare import POOLING, Cloudflare
from engine.serve.http.access_log import say, set_up_logging
from engine.serve.http.metrics import Metrics
from engine.serve.http.protocol import guarded
from engine.serve.service import Service
from engine.serve.settings import Settings

if TYPE_CHECKING:
    from engine.serve.queue.batch_queue import BatchQueue

NO_QUEUE = "none"
SWITCH_S = 0.001  # between threads: the event loop should not wait 5 ms for its turn


class Server(uvicorn.Server):
    """uvicorn's; but SIGTERM ends it with status 0, and its last answers close connections."""

    def __init__(self, config: uvicorn.Config, app: App, greeting: dict[str, Any]) -> None:
        super().__init__(config)
        self.servers = []
        self._app, self._greeting = app, greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        say("ready", **self._greeting)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, self._stop)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._stop))
        yield

    def _stop(self) -> None:
        """No new connections from now on. A second signal does not wait for those there are."""
        self.force_exit = self.should_exit
        self.should_exit = self._app.draining = True
        for server in self.servers:
            server.close()


def serve(settings: Settings, load: Load = load_model) -> int:
    """Runs until SIGTERM or SIGINT; 0 then. Raises EngineError when it cannot start."""
    set_up_logging()
    sys.setswitchinterval(SWITCH_S)
    _allow_files(settings.max_connections + 64)
    with _bound(settings) as listener:
        service = service_of(settings, load)
        gc.collect()
        gc.freeze()  # what is loaded stays: later collections need not walk through it
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(service, listener))
    return 0


def service_of(settings: Settings, load: Load = load_model) -> Service:
    """Loads the models; nothing runs yet."""
    models: list[Served] = []
    metrics = Metrics(lambda: sum(one.batcher.waiting for one in models))
    for choice in settings.model:
        embedder = load(choice, settings)
        batcher = Batcher(
            embedder,
            batch_tokens=settings.max_batch_tokens,
            waiting_texts=settings.max_waiting_texts,
            waiting_tokens=settings.max_waiting_tokens,
            observe_batch=metrics.batch,
        )
        models.append(Served(embedder, batcher, names_of(embedder, choice.aliases)))
    return Service(settings, Models(models), metrics)


async def _run(service: Service, listener: socket.socket) -> None:
    settings = service.settings
    cloudflare = Cloudflare(service)
    service.models.start()
    if settings.queue != NO_QUEUE:
        service.queue = _queue(settings, cloudflare)
        await service.queue.start()
    app = App(service, cloudflare)
    server = Server(_config(app, settings), app, _greeting(service, listener))
    await server.serve(sockets=[listener])
    for task in server.server_state.tasks:  # there are some only if a second signal came
        task.cancel()
    if service.queue is not None:
        await service.queue.stop()
    await service.models.stop()
    say("stopped")


def _queue(settings: Settings, cloudflare: Cloudflare) -> "BatchQueue":
    from engine.serve.queue.batch_queue import (  # takes a second: only where it is used
        BatchQueue,
        default_url,
    )

    return BatchQueue(
        settings.queue or default_url(),
        cloudflare.run_item,
        concurrency=settings.queue_concurrency,
        retention_seconds=settings.queue_retention,
        max_pending=settings.queue_max_requests,
    )


def _config(app: App, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=guarded(settings.read_timeout, app),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=settings.keep_alive,
        backlog=2048,
    )


def _greeting(service: Service, listener: socket.socket) -> dict[str, Any]:
    settings = service.settings
    host, port = listener.getsockname()[:2]
    address = f"[{host}]" if ":" in host else host
    return {
        "url": f"http://{address}:{port}",
        "tokens": len(settings.tokens),
        "queue": service.queue is not None,
        "models": [_facts(served) for served in service.models.all],
    }


def _facts(served: Served) -> dict[str, Any]:
    embedder = served.embedder
    return {
        "names": served.names,
        "precision": embedder.precision,
        "threads": embedder.threads,
        "dimensions": embedder.dim,
        "max_tokens": embedder.max_tokens,
        "default_pooling": {
            "cloudflare": POOLING,
            "openai": embedder.pooling,
            "tei": embedder.pooling,
        },
    }


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """The address is taken before the models are loaded, but nobody is let in before they are."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise EngineError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose others with --host and --port."
        ) from error
    with listener:
        yield listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ModuleNotFoundError:  # Windows has none
        return None
    return uvloop.new_event_loop


def _allow_files(wanted: int) -> None:
    """Raises this process's limit on open files, as far as it may."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
