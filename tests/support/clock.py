"""A clock that tests set, in place of a module's `time`."""


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now
