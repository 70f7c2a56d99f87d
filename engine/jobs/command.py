"""The command `bge job`: from its words to its exit status."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import engine
from engine.jobs.arguments import parse
from engine.jobs.corpus import run
from engine.jobs.options import Options

DONE, REJECTS, INTERRUPTED = 0, 3, 130


def main(argv: Sequence[str]) -> int:
    options = parse(argv)
    try:
        with _stopped_by_sigterm():
            return _run(options)
    except KeyboardInterrupt:
        print(f"bge job: stopped; the same command goes on from the last whole shard of "
              f"{options.output}", file=sys.stderr)  # fmt: skip
        return INTERRUPTED


def _run(options: Options) -> int:
    embedder = engine.load(
        options.model,
        precision=options.precision,
        threads=options.threads,
        offline=options.offline,
        revision=options.revision,
    )
    with embedder:
        summary = run(options, embedder)
    if not options.quiet:
        print(summary, file=sys.stderr)
    return REJECTS if summary.rejects else DONE


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a job as Ctrl-C does; Python allows that in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
