"""Checkpoints and loaded models for all tests; each is made once."""

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

Load = Callable[[str, str], engine.Embedder]


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


@pytest.fixture(params=["sqlite", "postgres"])
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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without transformers, live comparisons are skipped and counted; in CI that is a failure."""
    if os.environ.get("CI") or importlib.util.find_spec("sentence_transformers"):
        return
    left_out = [item for item in items if item.get_closest_marker("reference")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
