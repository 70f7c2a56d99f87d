"""The exit status of `bge job`, and signals while it runs."""

import os
import signal
import time
from pathlib import Path

import pytest

import engine
from engine.jobs import command, corpus
from engine.jobs.progress import Summary
from tests.serve.fake_embedder import FakeEmbedder

WORDS = ["in.txt", "-o", "out"]


def summary(rejects: int) -> Summary:
    return Summary("out", 5, 20, 0, rejects, 1, here=5, seconds=1.0)


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> FakeEmbedder:
    fake = FakeEmbedder()
    monkeypatch.setattr(engine, "load", lambda *_, **__: fake, raising=False)
    return fake


@pytest.mark.parametrize(("rejects", "status"), [(0, 0), (1, 3)])
def test_status(
    monkeypatch: pytest.MonkeyPatch,
    embedder: FakeEmbedder,
    capsys: pytest.CaptureFixture[str],
    rejects: int,
    status: int,
) -> None:
    monkeypatch.setattr(corpus, "run", lambda options, embedder: summary(rejects))
    assert command.main(WORDS) == status and embedder.closed
    assert capsys.readouterr().err == f"{summary(rejects)}\n"
    assert command.main([*WORDS, "--quiet"]) == status
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop_it_with_a_word(
    monkeypatch: pytest.MonkeyPatch,
    embedder: FakeEmbedder,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]

    def run(*_: object) -> Summary:
        os.kill(os.getpid(), number)
        time.sleep(10)
        return summary(0)

    monkeypatch.setattr(corpus, "run", run)
    assert command.main(WORDS) == 130 and embedder.closed
    assert "resume from the last complete shard in out" in capsys.readouterr().err
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)] == before


def test_nohup_is_respected(monkeypatch: pytest.MonkeyPatch, embedder: FakeEmbedder) -> None:
    def run(*_: object) -> Summary:
        os.kill(os.getpid(), signal.SIGHUP)
        time.sleep(0.01)
        return summary(0)

    monkeypatch.setattr(corpus, "run", run)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert command.main([*WORDS, "--quiet"]) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_wrong_usage_needs_no_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "load", None, raising=False)
    with pytest.raises(SystemExit) as stop:
        command.main(["in.txt"])
    assert stop.value.code == 2
