"""Connect to a Ray cluster, and decide how many actors of how many threads to start."""

import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.errors import EngineError, InputError

CONNECT_SECONDS = 10
SPARE_CPUS = 1  # of each node: for readers, and for an actor whose own node has died


def places(nodes: list[dict[str, Any]], threads: int | None) -> tuple[int, int]:
    """Return (threads per actor, actors); one actor per node unless `threads` is given."""
    cpus = [int(node["Resources"].get("CPU", 0)) - SPARE_CPUS for node in nodes if node["Alive"]]
    usable = [count for count in cpus if count > 0]
    threads = threads or min(usable, default=0)
    actors = sum(count // threads for count in usable) if threads else 0
    if not actors:
        available = sorted(count + SPARE_CPUS for count in cpus)
        raise EngineError(
            f"no node of the Ray cluster has {(threads or 1) + SPARE_CPUS} logical CPUs (they have "
            f"{available}): an actor uses {threads or 1} and leaves {SPARE_CPUS} free. Use larger "
            "nodes, or lower --threads."
        )
    return threads, actors


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster without log output; an existing connection is reused and kept."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address == "local":  # loopback only: Ray's own name for that is about other systems
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise EngineError("--ray needs Ray: pip install 'bge-engine[ray]'") from error
    _configure(ray.data.DataContext.get_current())
    if ray.is_initialized():
        yield
        return
    _check_reachable(address)
    options = {"include_dashboard": False} if address == "local" else {}
    try:
        with _silence():
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise EngineError(f"no Ray cluster at {address!r}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _silence() -> Iterator[None]:
    """Redirect file descriptor 2: Ray's native code prints notices there."""
    sys.stderr.flush()
    saved = os.dup(2)
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)


def _check_reachable(address: str) -> None:
    """Fail at once where Ray would retry for minutes. EngineError: nothing listens there."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal():
        raise InputError(f"--ray {address!r}: give host:port of the head node, auto, or local")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"no Ray cluster responds at {address!r} ({error.strerror or error}); "
            "start one (ray start --head), or give its address, auto, or local"
        ) from error


def _configure(context: Any) -> None:
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # one block per shard: the unit of scheduling and retry
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its errors arrive as exceptions
