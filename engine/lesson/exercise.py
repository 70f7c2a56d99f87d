"""`Exercise`: a question, and code that computes its answer and judges what a reader gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Answer = float | str


@dataclass(frozen=True)
class Exercise:
    """answer: a number, or tokens with spaces between. within: how far a number may be off.

    mistakes: wrong answers that many give, each with the reason why it is wrong.
    """

    question: str
    answer: Answer
    hint: str
    within: float = 0.0
    mistakes: Mapping[Answer, str] = field(default_factory=dict)

    def why_wrong(self, given: str) -> str | None:
        """None if the answer is right; else what is wrong with it."""
        if isinstance(self.answer, str):
            words = " ".join(given.split())
            if words == self.answer:
                return None
            return self.mistakes.get(words, f"{words!r} is not it. {self.hint}")
        return self._number(given, self.answer)

    def _number(self, given: str, right: float) -> str | None:
        try:
            number = float(given)
        except ValueError:
            return f"{given!r} is not a number. Give one such as {0.25 if self.within else 12}."
        if not math.isfinite(number):
            return f"{given!r} is not a finite number. {self.hint}"
        if abs(number - right) <= self.within:
            return None
        for mistake, why in self.mistakes.items():
            if isinstance(mistake, float | int) and abs(number - mistake) <= self.within:
                return why
        return f"{given} is too {'small' if number < right else 'large'}. {self.hint}"
