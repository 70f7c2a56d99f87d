"""A Ray cluster: connecting to it quietly, and how many actors of how many threads it holds."""

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
    """Return threads of an actor and how many actors; one a node unless `threads` is given."""
    cpus = [int(node["Resources"].get("CPU", 0)) - SPARE_CPUS for node in nodes if node["Alive"]]
    usable = [count for count in cpus if count > 0]
    threads = threads or min(usable, default=0)
    actors = sum(count // threads for count in usable) if threads else 0
    if not actors:
        had = sorted(count + SPARE_CPUS for count in cpus)
        raise EngineError(
            f"no node of the Ray cluster has {(threads or 1) + SPARE_CPUS} logical CPUs (they have "
            f"{had}): an actor takes {threads or 1} and leaves {SPARE_CPUS}; give nodes more, or "
            "lower --threads"
        )
    return threads, actors


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster, quietly; one that this process is connected to already stays so."""
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
    _check_answers(address)
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
    """Keep off standard error what compiled code writes there of how much it is going to write."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_answers(address: str) -> None:
    """Find out at once what Ray finds out after minutes."""
    if address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if "/" in host or not host or not port.isdecimal():
        raise InputError(f"--ray {address!r}: give host:port of the head node, auto, or local")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise EngineError(
            f"no Ray cluster answers at {address!r} ({error.strerror or error}); "
            "start one (ray start --head), or give its address, auto, or local"
        ) from error


def _configure(context: Any) -> None:
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # a block a shard: it is the unit that is dealt and retried
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # its errors arrive as exceptions
