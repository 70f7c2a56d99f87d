"""Rates and times, on a clock of the test's own."""

import io
import itertools
import sys

import pytest

from engine.jobs import progress as room
from engine.jobs.progress import Progress, Summary
from engine.system.progress import clock
from tests.support.clock import Clock


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    watch = Clock(100.0)
    monkeypatch.setattr(room, "time", watch)
    return watch


def test_a_line_says_rate_share_and_what_is_left(watch: Clock) -> None:
    progress = Progress(1000, 200, stream=io.StringIO())
    assert progress.line(4.0) == "0 rows, 0 tokens/s"
    progress.advance(30, 4000, 100)
    assert progress.line(4.0) == "30 rows, 1,000 tokens/s, 30.0%, 0:00:28 left"
    progress.advance(70, 4000, 900)  # more than was announced
    assert progress.line(4.0) == "100 rows, 2,000 tokens/s, 100.0%, 0:00:00 left"


def test_rows_are_told_of_how_many_where_that_is_known(watch: Clock) -> None:
    progress = Progress(1000, 200, rows_before=500, total_rows=2500, stream=io.StringIO())
    progress.advance(30, 4000, 100)
    assert progress.line(4.0) == "530 of 2,500 rows, 1,000 tokens/s, 30.0%, 0:00:28 left"


def test_a_log_gets_a_line_each_half_minute(watch: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(1000, 0, stream=stream)
    for _ in range(12):
        watch.now += 6
        progress.advance(1, 60, 10)
    assert stream.getvalue().splitlines() == [
        "bge job: 5 rows, 10 tokens/s, 5.0%, 0:09:30 left",
        "bge job: 10 rows, 10 tokens/s, 10.0%, 0:09:00 left",
    ]
    progress.close()
    assert progress.seconds() == 72


def test_quiet_is_quiet(watch: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(1000, 0, quiet=True, stream=stream)
    watch.now += 60
    progress.advance(1, 1, 1)
    progress.close()
    assert stream.getvalue() == ""


def test_it_goes_to_standard_error(watch: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(0, 0)
    watch.now += 30
    progress.advance(2, 30, 1)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "bge job: 2 rows, 1 tokens/s\n")
    assert not sys.stderr.isatty()


def test_the_summary_tells_a_resumed_run() -> None:
    summary = Summary("out", 10, 1000, 2, 1, 3, here=4, seconds=61)
    assert str(summary).splitlines()[:3] == [
        "out: 10 rows, 1,000 tokens, 3 shards",
        "truncated to the model's limit: 2 texts; rejected: 1 row",
        "time of this run: 0:01:01; 6 rows were complete before",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "every"), [(Terminal(), 0.25), (io.StringIO(), 30)])
def test_progress_is_drawn_on_a_terminal_and_logged_elsewhere(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, every: float
) -> None:
    now = itertools.count(0, every / 2)
    monkeypatch.setattr("engine.jobs.progress.time.monotonic", lambda: next(now))
    progress = Progress(1000, 500, stream=stream)
    progress.advance(10, 100, 100)  # half an interval has passed: nothing yet
    assert stream.getvalue() == ""
    progress.advance(10, 100, 150)
    drawn = stream.getvalue()
    assert f"20 rows, {200 / every:,.0f} tokens/s, 75.0%, {clock(every)} left" in drawn
    assert drawn.startswith("\r\x1b[K[###############.....] 20 rows") == stream.isatty()
    assert drawn.endswith("\n") != stream.isatty()


def test_progress_over_input_of_unknown_size_promises_nothing() -> None:
    progress = Progress(0, 0, stream=io.StringIO())
    progress.advance(10, 100, 0)
    assert progress.line(2.0) == "10 rows, 50 tokens/s"


def test_summary_in_words() -> None:
    summary = Summary("out", 1, 2_000_000, 0, 3, 1, here=1, seconds=3725)
    assert str(summary).splitlines() == [
        "out: 1 row, 2,000,000 tokens, 1 shard",
        "truncated to the model's limit: 0 texts; rejected: 3 rows",
        "time of this run: 1:02:05",
    ]
