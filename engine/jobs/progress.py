"""Progress on standard error: one line with a bar on a terminal, else a line every 30 s."""

import sys
import threading
import time
from dataclasses import dataclass
from typing import IO

from engine.system.progress import LOG_SECONDS, clock, with_bar

TERMINAL_SECONDS = 0.25


class Progress:
    """Counts what this run computes; `advance` is safe to call from several threads.

    total: bytes of all inputs, 0 if unknown; began_at: bytes of the shards already complete.
    rows_before: rows of these shards; total_rows: of all inputs, None if unknown.
    """

    def __init__(
        self,
        total: int,
        began_at: int,
        *,
        rows_before: int = 0,
        total_rows: int | None = None,
        quiet: bool = False,
        stream: IO[str] | None = None,
    ) -> None:
        self._rows_before, self._total_rows = rows_before, total_rows
        self._total, self._read = total, began_at
        self._began_at = began_at
        self._rows = self._tokens = 0
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._every = TERMINAL_SECONDS if self._terminal else LOG_SECONDS
        self._quiet = quiet
        self._lock = threading.Lock()
        self._start = self._shown = time.monotonic()

    def advance(self, rows: int, tokens: int, read: int) -> None:
        with self._lock:
            self._rows += rows
            self._tokens += tokens
            self._read += read
            now = time.monotonic()
            if not self._quiet and now - self._shown >= self._every:
                self._shown = now
                self._write(self.line(now - self._start))

    def seconds(self) -> float:
        return time.monotonic() - self._start

    def line(self, seconds: float) -> str:
        """Rows, tokens per second, share done and time left, `seconds` after the start."""
        rows = f"{self._rows:,} rows"
        if self._total_rows is not None:
            rows = f"{self._rows_before + self._rows:,} of {self._total_rows:,} rows"
        parts = [rows, f"{self._tokens / max(seconds, 1e-9):,.0f} tokens/s"]
        if (share := self._share()) is not None:
            left = seconds / (self._read - self._began_at) * max(self._total - self._read, 0)
            parts += [f"{share:.1%}", f"{clock(left)} left"]
        return ", ".join(parts)

    def _share(self) -> float | None:
        """The share of the input that is done; None until this run has added to it."""
        known = self._total and self._read > self._began_at
        return min(self._read / self._total, 1.0) if known else None

    def close(self) -> None:
        """Clear the line on the terminal."""
        if self._terminal and not self._quiet:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _write(self, line: str) -> None:
        if self._terminal:
            self._stream.write(f"\r\x1b[K{with_bar(line, self._share())}")
        else:
            self._stream.write(f"bge job: {line}\n")
        self._stream.flush()


@dataclass(frozen=True)
class Summary:
    """Totals of a job over all its runs, and the time of this run.

    `here`: rows that this run computed; earlier runs completed the others.
    """

    output: str
    rows: int
    tokens: int
    cut: int
    rejects: int
    shards: int
    here: int
    seconds: float
    changes: tuple[str, ...] = ()  # what an update did

    def __str__(self) -> str:
        before = self.rows - self.here
        resumed = f"; {before:,} rows were complete before" if before else ""
        return (
            f"{self.output}: {_count(self.rows, 'row')}, {_count(self.tokens, 'token')}, "
            f"{_count(self.shards, 'shard')}\n"
            f"truncated to the model's limit: {_count(self.cut, 'text')}; "
            f"rejected: {_count(self.rejects, 'row')}\n"
            + "".join(f"{line}\n" for line in self.changes)
            + f"time of this run: {clock(self.seconds)}{resumed}"
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
