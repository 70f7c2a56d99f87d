"""One root, and errors that travel between processes as they are."""

import copy
import pickle

import pytest

import engine
from engine import errors
from engine.errors import EngineError, InputError, NotFinite, TooLong

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, EngineError)
]


def test_one_root_catches_all_and_wrong_input_is_a_value_error_too() -> None:
    assert len(CLASSES) == 7
    assert issubclass(InputError, ValueError) and issubclass(TooLong, InputError)
    others = set(CLASSES) - {InputError, TooLong}
    assert not any(issubclass(each, ValueError) for each in others)
    assert not issubclass(errors.TruncationWarning, EngineError)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_made_of_its_message_and_survives_a_pickle(kind: type[EngineError]) -> None:
    """As jobs on a cluster make them again, and as process pools pass them on."""
    error = kind("what, seen, allowed, remedy")
    for other in (error, pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(other) is kind and str(other) == "what, seen, allowed, remedy"


def test_vectors_that_are_not_finite_are_named_by_their_texts() -> None:
    error = NotFinite("two of five", [1, 4])
    assert pickle.loads(pickle.dumps(error)).texts == error.texts == (1, 4)
    assert NotFinite("unknown which").texts == ()


def test_the_door_shows_them() -> None:
    for name in engine.__all__:
        if hasattr(errors, name):
            assert getattr(engine, name) is getattr(errors, name)
