"""One base class, and errors that can be pickled."""

import copy
import pickle

import pytest

import engine
from engine import errors
from engine.errors import EngineError, InputError, NotFinite, TooLong, UnknownOption

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, EngineError)
]


def test_every_error_is_an_engine_error_and_input_errors_are_value_errors() -> None:
    assert len(CLASSES) == 8
    assert issubclass(InputError, ValueError) and issubclass(TooLong, InputError)
    assert issubclass(UnknownOption, InputError) and issubclass(UnknownOption, TypeError)
    others = set(CLASSES) - {InputError, TooLong, UnknownOption}
    assert not any(issubclass(each, ValueError) for each in others)
    assert not issubclass(errors.TruncationWarning, EngineError)


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_keep_their_message_when_pickled(kind: type[EngineError]) -> None:
    """Clusters and process pools pickle errors."""
    error = kind("what, seen, allowed, remedy")
    for other in (error, pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(other) is kind and str(other) == "what, seen, allowed, remedy"


def test_not_finite_has_the_indices_of_the_texts() -> None:
    error = NotFinite("two of five", [1, 4])
    assert pickle.loads(pickle.dumps(error)).texts == error.texts == (1, 4)
    assert NotFinite("unknown which").texts == ()


def test_the_package_exports_all_errors() -> None:
    for name in engine.__all__:
        if hasattr(errors, name):
            assert getattr(engine, name) is getattr(errors, name)
