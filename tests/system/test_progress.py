"""The line on standard error, on a clock of the test's own."""

import re

import pytest

from engine.system import progress as room
from engine.system.progress import Progress, clock, with_bar
from tests.support.clock import Clock


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    watch = Clock(50.0)
    monkeypatch.setattr(room, "time", watch)
    monkeypatch.setenv("COLUMNS", "100")
    return watch


@pytest.fixture
def said(watch: Clock, capsys: pytest.CaptureFixture[str]) -> "Said":
    return Said(capsys)


class Said:
    """What was written since the last call, without the blanks that overwrite a longer line."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def __call__(self) -> list[str]:
        out, err = self._captured.readouterr()
        assert out == ""
        return [re.sub(" +(\n?)$", r"\1", line) for line in err.split("\r")]


def test_bar_rate_and_time_left(watch: Clock, said: Said) -> None:
    with Progress(2000, True) as progress:
        assert said() == ["", "[....................] 0 of 2,000 texts, 0.0/s"]
        watch.now += 4
        progress.add(1000)
        assert said() == ["", "[##########..........] 1,000 of 2,000 texts, 250/s, 0:00:04 left"]
        watch.now += 0.05  # too soon to be drawn again, but counted
        progress.add(500)
        assert said() == [""]
        watch.now += 0.95
        progress.add(250)
        assert said() == ["", "[#################...] 1,750 of 2,000 texts, 350/s, 0:00:01 left"]
        progress.add(250)
    assert said() == ["", "[####################] 2,000 of 2,000 texts, 400/s, 0:00:05\n"]


def test_a_shorter_line_covers_the_one_before(
    watch: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(2000, True) as progress:
        watch.now += 1
        progress.add(2000)
    *_, before, last = capsys.readouterr().err.removesuffix("\n").split("\r")
    assert before.endswith("left") and len(last) == len(before)


def test_without_a_total_there_is_no_bar(watch: Clock, said: Said) -> None:
    with Progress(None, True, unit="rows") as progress:
        watch.now += 2
        progress.add(7)
    assert said() == ["", "0 rows, 0.0/s", "7 rows, 3.5/s", "7 rows, 3.5/s, 0:00:02\n"]


def test_more_than_was_announced(watch: Clock, said: Said) -> None:
    with Progress(10, True) as progress:
        watch.now += 1
        progress.add(20)
    assert said()[2] == "[####################] 20 of 10 texts, 20/s, 0:00:00 left"


def test_an_error_leaves_the_line_as_it_was(watch: Clock, said: Said) -> None:
    with pytest.raises(ValueError), Progress(10, True) as progress:
        watch.now += 1
        progress.add(5)
        raise ValueError
    assert said()[-1] == "[##########..........] 5 of 10 texts, 5.0/s, 0:00:01 left\n"


def test_no_texts(watch: Clock, said: Said) -> None:
    with Progress(0, True):
        pass
    assert said() == ["", "0 texts, 0.0/s", "0 texts, 0.0/s, 0:00:00\n"]


def test_a_log_gets_a_line_every_half_minute(
    watch: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(1000, True, log="bge embed") as progress:
        for _ in range(7):
            watch.now += 10
            progress.add(100)
    assert capsys.readouterr().err.splitlines() == [
        "bge embed: 300 of 1,000 texts, 10/s, 0:01:10 left",
        "bge embed: 600 of 1,000 texts, 10/s, 0:00:40 left",
    ]


@pytest.mark.parametrize("log", [None, "bge"])
def test_not_shown_is_silent(
    watch: Clock, capsys: pytest.CaptureFixture[str], log: str | None
) -> None:
    with Progress(10, False, log=log) as progress:
        watch.now += 60
        progress.add(10)
    assert capsys.readouterr().err == ""


def test_a_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    assert with_bar("1234567", 0.5) == "1234567"
    assert with_bar("123456", 0.5) == "[##########..........] 123456"
    assert with_bar("123456", None) == "123456"
    assert with_bar("1" * 40, None) == "1" * 29


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0:00:00"), (61, "0:01:01"), (36_125, "10:02:05")]
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
