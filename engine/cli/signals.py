"""SIGTERM and SIGHUP end a command as Ctrl-C does, after incomplete files are removed."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(BaseException):
    """Raised in the main thread by a signal. `status` is the exit status, 128 + the number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP raise Terminated.

    This replaces only the default action. A signal that is ignored (nohup) or that the calling
    program handles is not changed. In other threads than the main thread, where Python allows no
    handlers, nothing is changed.
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
