"""The exceptions of this library.

    EngineError
    ├── CheckpointError       a folder of weights that is broken, incomplete, or not a BERT
    ├── ModelNotFound         an unknown name, or weights that are not available
    ├── NotFinite             a computed vector holds NaN or infinity
    ├── InputError            a text, an option or a shape that is invalid (also a ValueError)
    │   ├── TooLong           a text over the token limit, if truncation was not allowed
    │   └── UnknownOption     a keyword that a method does not have (also a TypeError)
    └── Overloaded            the queue is full; retry later

A message says what, the value seen, what is allowed, and what to do.
"""

from collections.abc import Sequence


class EngineError(Exception):
    """The base class: catch it for any error that the library itself reports."""


class CheckpointError(EngineError):
    """The checkpoint is damaged, incomplete, or of a kind that the engine does not support."""


class ModelNotFound(EngineError):
    """The model is unknown, or its weights are not here and cannot be downloaded."""


class NotFinite(EngineError):
    """Vectors of some texts would hold NaN or infinity; no vector of the call is returned.

    `texts`: the indices of these texts in the call. The others can be computed without them.
    """

    def __init__(self, message: str, texts: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.texts = tuple(texts)


class InputError(EngineError, ValueError):
    """The caller's input is invalid."""


class TooLong(InputError):
    """A text has more tokens than the model's limit."""


class UnknownOption(InputError, TypeError):
    """A keyword argument that the method does not have."""


class Overloaded(EngineError):
    """The queue is full; nothing was accepted."""


class TruncationWarning(UserWarning):
    """Some texts were longer than the model's limit and were truncated."""
