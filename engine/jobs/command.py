"""The command `bge job`: run it and return its exit status."""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import engine
from engine.jobs.arguments import folder_to_verify, parse
from engine.jobs.options import Options

DONE, DAMAGED, REJECTS, INTERRUPTED = 0, 1, 3, 130


def main(argv: Sequence[str]) -> int:
    """Parse the options (no extra is needed for that), run the job, return the exit status."""
    if (output := folder_to_verify(argv)) is not None:
        return _verify(output)
    options = parse(argv)
    try:
        with _stopped_by_signals():
            return _run(options)
    except KeyboardInterrupt:
        print(
            "bge job: interrupted; rerun the same command to resume from the last complete shard "
            f"in {options.output}",
            file=sys.stderr,
        )
        return INTERRUPTED


def _verify(output: str) -> int:
    from engine.jobs.verify import verify

    *problems, checked = verify(output)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(checked)
    return DAMAGED if problems else DONE


def _run(options: Options) -> int:
    from engine.jobs.corpus import run

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
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, unless they are ignored (nohup).

    Python sets signal handlers in the main thread only.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
