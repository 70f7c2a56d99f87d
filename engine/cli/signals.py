"""SIGTERM and SIGHUP end a command as Ctrl-C does: what is half written is removed first."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(BaseException):
    """Raised where the signal finds the main thread. `status` is what shells expect, 128 + it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within the block the two signals raise Terminated.

    Only where they would end the process at once: a signal that is ignored (nohup) or that the
    calling program handles is left alone. Python allows handlers in the main thread only.
    """
    ours: list[int] = []
    try:
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                if signal.getsignal(number) == signal.SIG_DFL:
                    ours.append(number)
                    signal.signal(number, _raise)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
