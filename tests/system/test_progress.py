"""The line on standard error, on a clock of the test's own."""

import pytest

from engine.system import progress as room
from engine.system.progress import Progress
from tests.support.clock import Clock


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    watch = Clock(50.0)
    monkeypatch.setattr(room, "time", watch)
    return watch


def test_the_rate_is_texts_a_second(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(200, True) as progress:
        watch.now += 4
        progress.add(100)
        assert capsys.readouterr().err == "\r100/200 (50 %) texts, 25/s "
        watch.now += 1
        progress.add(50)
        assert capsys.readouterr().err == "\r150/200 (75 %) texts, 30/s "
        watch.now += 0.05  # too soon to be drawn again, but counted
        progress.add(50)
        assert capsys.readouterr().err == ""
        watch.now += 4.95
    assert capsys.readouterr().err == "\r200/200 (100 %) texts, 20/s \n"


def test_without_a_total_there_is_no_share(
    watch: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(None, True) as progress:
        watch.now += 2
        progress.add(7)
    said = capsys.readouterr()
    assert said.err == "\r7 texts, 4/s " * 2 + "\n" and said.out == ""


def test_no_texts(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(0, True):
        pass
    assert capsys.readouterr().err == "\r0 texts, 0/s \n"


def test_not_shown_is_silent(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(10, False) as progress:
        watch.now += 60
        progress.add(10)
    assert capsys.readouterr().err == ""
