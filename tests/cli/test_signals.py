"""SIGTERM and SIGHUP while a command works: its status, and that no file is left half written."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.catalog import registry
from engine.cli.signals import Terminated, terminable
from tests.catalog import mouse
from tests.catalog.hub_server import Hub
from tests.cli.command import HERE, feed, start

user, hub, hurried = mouse.user, mouse.hub, mouse.hurried
BOTH = [signal.SIGTERM, signal.SIGHUP]


def until(condition: object, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def default() -> Iterator[None]:
    """Neither signal is handled, whatever other tests' libraries have set."""
    before = [signal.signal(number, signal.SIG_DFL) for number in BOTH]
    yield
    for number, handler in zip(BOTH, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.usefixtures("default")
def test_a_block_ends_where_the_signal_finds_it(number: int) -> None:
    with pytest.raises(Terminated) as raised, terminable():
        os.kill(os.getpid(), number)
        time.sleep(10)
    assert raised.value.status == 128 + number
    assert signal.getsignal(number) == signal.SIG_DFL


@pytest.mark.usefixtures("default")
def test_signals_that_are_ignored_or_handled_stay_so() -> None:
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with terminable():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.01)
    assert seen == [signal.SIGTERM] and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_another_thread_may_run_a_command() -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with terminable():
                pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []


@pytest.mark.slow
@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("name", ["out.jsonl", "out.npy"])
def test_embed_leaves_nothing_of_a_new_file_and_all_of_an_old_one(
    tmp_path: Path, number: int, name: str
) -> None:
    old = tmp_path / "old.jsonl"
    old.write_text("old")
    for target in (tmp_path / name, old):
        with start("embed", *HERE, "-", "-o", str(target)) as process:
            feed(process, b"some text\n" * 300)
            until(lambda: any(path.stat().st_size for path in tmp_path.glob(".*")), process)
            process.send_signal(number)
            assert process.wait(30) == 128 + number
            assert process.stderr is not None and process.stderr.read() == b""
    assert list(tmp_path.iterdir()) == [old] and old.read_text() == "old"


def test_nohup_is_respected(tmp_path: Path) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # children inherit it, as from nohup
    try:
        with start("embed", *HERE, "-", "-o", str(tmp_path / "out.jsonl")) as process:
            assert process.stdin is not None
            process.stdin.write(b"some text\n" * 300)
            process.stdin.flush()
            until(lambda: any(tmp_path.iterdir()), process)
            process.send_signal(signal.SIGHUP)
            process.stdin.close()
            process.stdin = None
            assert process.wait(60) == 0
    finally:
        signal.signal(signal.SIGHUP, previous)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 300


@pytest.mark.slow
@pytest.mark.parametrize("number", BOTH)
def test_pull_ends_and_keeps_its_part(hub: Hub, tmp_path: Path, number: int) -> None:
    entry = registry.entry("all-MiniLM-L6-v2")
    files = {path: b"x" * (fact.size or 10) for path, fact in entry.files.items()}
    hub.repositories[entry.hub_id] = {entry.revision: files}
    for path in files:
        hub.stalls[path] = 5
    words = ("pull", entry.name, "--source", "hub", "--to", str(tmp_path / "model"))
    with start(*words, stdin=subprocess.DEVNULL) as process:
        until(lambda: hub.requests and any(r.method == "GET" for r in hub.requests), process)
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert process.stderr is not None and b"Traceback" not in process.stderr.read()
    assert not (tmp_path / "model").exists()
