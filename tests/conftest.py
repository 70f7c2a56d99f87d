"""Checkpoints and loaded models for all tests; each is made once."""

import gc
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import engine
from tests.cli import command
from tests.serve.queue import postgres
from tests.support import checkpoints

# A background process may start with SIGINT ignored, and children inherit that. They do not inherit
# a handler, so Ctrl-C can be tested in them.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup
    signal.signal(signal.SIGHUP, lambda *_: None)

# Clients in tests/serve/clients read these when they are imported. None reports to its makers, and
# none fetches a list from them.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

HERE = Path(__file__).parent
Load = Callable[[str, str], engine.Embedder]

# Slow as a whole. With -m "not slow" they are not even imported, so what they need may be missing:
# the extras of `test` beyond those of `test-fast`, a browser, Node.
SLOW = (
    "adapters",
    "catalog/test_hub.py",
    "catalog/test_pull.py",
    "catalog/test_registry.py",
    "catalog/test_selection.py",
    "cli/test_processes.py",
    "compat",
    "emulation",
    "explore/test_browser.py",
    "explore/test_picture.py",
    "explore/test_server.py",
    "export",
    "fast/codegen",
    "fast/test_integer_attention.py",
    "fast/test_integer_scores.py",
    "fast/test_overflow.py",
    "fast/weights/test_prepared.py",
    "integration",
    "jobs/test_kills.py",
    "jobs/test_ray.py",
    "serve/clients",
    "serve/pages/test_browser.py",
    "serve/queue/test_kills.py",
    "serve/queue/test_opening.py",
    "serve/test_collapse.py",
    "serve/test_life.py",
    "serve/test_patience.py",
    "test_bench.py",
    "test_bench_ladder.py",
    "test_bench_peers.py",
    "test_types.py",
)
SLOW_NEEDS = {"minilm", "bge_shape", "postgres_server"}  # real weights, large ones; a server


@pytest.fixture(scope="session")
def tiny() -> Path:
    return checkpoints.tiny()


@pytest.fixture(scope="session")
def minilm() -> Path:
    return checkpoints.minilm()


@pytest.fixture(scope="session")
def bge_shape() -> Path:
    return checkpoints.bge_shape()


@pytest.fixture(scope="session")
def load() -> Iterator[Load]:
    """(checkpoint, precision) -> the embedder, two threads, loaded once."""
    loaded: list[engine.Embedder] = []

    @cache
    def load_once(checkpoint: str, precision: str) -> engine.Embedder:
        folder = checkpoints.FOLDERS[checkpoint]()
        loaded.append(engine.load(folder, precision=precision, threads=2))
        return loaded[-1]

    yield load_once
    for embedder in loaded:
        embedder.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Not of the session: its event loop would be in the way of other tests' loops."""
    from tests.support.browsing import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture
def bge(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> command.Run:
    """The command, in this process."""
    return command.Run(capfdbinary, monkeypatch)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    with postgres.cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database for the batch queue, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/queue.sqlite"
    return str(request.getfixturevalue("postgres_server").database("queue"))


@pytest.fixture
def queue_file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/queue.sqlite"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "reference: computes with transformers, in this process")
    config.addinivalue_line("markers", "slow: seconds, or extras that are large, or other programs")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if _is_slow(collection_path) and "not slow" in config.option.markexpr else None


def pytest_collection_finish() -> None:
    """What collection has made stays until the end: the garbage collector need not look at it again
    (a fifth of the CPU time of the fast tests)."""
    gc.collect()
    gc.freeze()


def _is_slow(path: Path) -> bool:
    return any(path.is_relative_to(HERE / each) for each in SLOW)


def _needs(item: pytest.Item) -> set[str]:
    """Names of the fixtures that a test uses, and those values of its parameters that are words."""
    values = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return {*getattr(item, "fixturenames", ()), *(one for one in values if isinstance(one, str))}


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what is slow by its place or its needs.

    Without transformers, live comparisons are skipped and counted; in CI that is a failure.
    """
    for item in items:
        if _is_slow(item.path) or item.get_closest_marker("reference") or _needs(item) & SLOW_NEEDS:
            item.add_marker(pytest.mark.slow)
    if os.environ.get("CI") or importlib.util.find_spec("sentence_transformers"):
        return
    left_out = [item for item in items if item.get_closest_marker("reference")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
