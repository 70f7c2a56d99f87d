"""Everything this library raises on purpose.

    EngineError
    ├── CheckpointError       a folder of weights that is broken, incomplete, or not a BERT
    ├── ModelNotFound         a name nobody knows, or weights that cannot be had here
    ├── NotFinite             a computed vector holds NaN or infinity
    ├── InputError            a text, an option or a shape that cannot be meant (also a ValueError)
    │   └── TooLong           a text over the model's limit, where cutting was not allowed
    └── Overloaded            no room for more work just now; try again

A message says what, the value seen, what is allowed, and what to do.
"""

from collections.abc import Sequence


class EngineError(Exception):
    """The root: catch this one for any mistake or condition that the library itself reports."""


class CheckpointError(EngineError):
    """The checkpoint is damaged, incomplete, or of a kind the engine does not compute."""


class ModelNotFound(EngineError):
    """No such model, or its weights are neither here nor to be fetched."""


class NotFinite(EngineError):
    """Vectors of some texts would hold NaN or infinity; no vector of the call is returned.

    `texts`: the positions of these texts in the call, from 0. The others can be computed again
    without them.
    """

    def __init__(self, message: str, texts: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.texts = tuple(texts)


class InputError(EngineError, ValueError):
    """The caller's input is not usable."""


class TooLong(InputError):
    """A text has more tokens than the model takes."""


class Overloaded(EngineError):
    """The queue is full; nothing was accepted."""


class TruncationWarning(UserWarning):
    """Some texts were longer than the model's limit and were cut."""
