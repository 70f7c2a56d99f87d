"""A progress line on standard error."""

import sys
import time
from types import TracebackType


class Progress:
    """Counts texts and writes the line at most ten times a second, on a terminal or not.

    total: the number of texts; None if it is not known. shown: False writes nothing.
    """

    def __init__(self, total: int | None, shown: bool) -> None:
        self.total, self.shown = total, shown
        self.done = 0
        self.began = time.monotonic()
        self._drawn = 0.0

    def add(self, count: int) -> None:
        """Adds `count` finished texts."""
        self.done += count
        if self.shown and time.monotonic() - self._drawn > 0.1:
            self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        rate = self.done / max(self._drawn - self.began, 1e-9)
        of = f"/{self.total} ({100 * self.done // max(self.total, 1)} %)" if self.total else ""
        sys.stderr.write(f"\r{self.done}{of} texts, {rate:.0f}/s ")
        sys.stderr.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.shown:
            self._draw()
            sys.stderr.write("\n")
