"""A progress line on standard error, and the parts that all progress lines share."""

import shutil
import sys
import time
from types import TracebackType

DRAW_SECONDS, LOG_SECONDS = 0.1, 30.0
BAR = 20  # characters


class Progress:
    """Counts texts, or other things that `unit` names, and shows rate and remaining time.

    total: their number; None if it is not known. shown: False writes nothing. log: None draws one
    line again and again, at most ten times a second; a name writes a line that begins with it every
    30 s, for a log.
    """

    def __init__(
        self, total: int | None, shown: bool, *, unit: str = "texts", log: str | None = None
    ) -> None:
        self.total, self.shown, self._unit, self._log = total, shown, unit, log
        self.done = 0
        self.began = time.monotonic()
        self._drawn, self._every = self.began, DRAW_SECONDS if log is None else LOG_SECONDS
        self._longest = 0

    def add(self, count: int) -> None:
        """Adds `count` that are finished."""
        self.done += count
        if self.shown and time.monotonic() - self._drawn >= self._every:
            self._drawn = time.monotonic()
            self._write()

    def line(self, finished: bool = False) -> str:
        """How many of how many, how many a second, the time left; at the end, the time taken."""
        seconds = time.monotonic() - self.began
        rate = self.done / max(seconds, 1e-9)
        line = f"{self.done:,}" + (f" of {self.total:,}" if self.total else "")
        line += f" {self._unit}, {rate:,.{int(rate < 10)}f}/s"
        if finished:
            return f"{line}, {clock(seconds)}"
        if self.total and self.done:
            return f"{line}, {clock(max(self.total - self.done, 0) / rate)} left"
        return line

    def _write(self, finished: bool = False) -> None:
        line = self.line(finished)
        if self._log is not None:
            sys.stderr.write(f"{self._log}: {line}\n")
        else:
            line = with_bar(line, self.done / self.total if self.total else None)
            self._longest = max(self._longest, len(line))
            sys.stderr.write("\r" + line.ljust(self._longest))
        sys.stderr.flush()

    def __enter__(self) -> "Progress":
        if self.shown and self._log is None:
            self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.shown and self._log is None:
            self._write(finished=kind is None)
            sys.stderr.write("\n")


def with_bar(line: str, share: float | None) -> str:
    """The line after a bar of the share that is done, if both fit the terminal's width."""
    width = shutil.get_terminal_size().columns - 1
    if share is not None and BAR + 3 + len(line) <= width:
        return f"[{'#' * int(min(share, 1.0) * BAR):.<{BAR}}] {line}"
    return line[:width]


def clock(seconds: float) -> str:
    """Hours, minutes, seconds: 3725 -> "1:02:05"."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
