"""Each kind of field: valid values, and the messages for invalid ones."""

from collections.abc import Callable
from typing import Any

import pytest

from engine.serve.http import validation
from engine.serve.http.errors import ErrorKind, HTTPError


def refusal(check: Callable[..., Any], *arguments: Any) -> HTTPError:
    with pytest.raises(HTTPError) as raised:
        check(*arguments)
    assert raised.value.kind is ErrorKind.INVALID
    return raised.value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([], []),
        ([1, 2.0], [[1, 2]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        ([[]], [[]]),
    ],
)
def test_texts_or_ids(value: object, expected: object) -> None:
    assert validation.texts_or_ids(value, "x") == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, "a"], "`x` is 'a'"),
        ([1.5], "`x` is 1.5"),
        ([[1], [True]], r"`x\[1\]` is true"),
        ([[1], 2], r"`x\[1\]` is 2; it must be an array of token ids, as the first is"),
        (["a", 1], r"`x\[1\]` is 1; it must be a string"),
        (None, "`x` is null"),
    ],
)
def test_what_is_neither_texts_nor_ids(value: object, message: str) -> None:
    with pytest.raises(HTTPError, match=message):
        validation.texts_or_ids(value, "x")


def test_a_body_is_an_object() -> None:
    assert validation.object_of({"a": 1}) == {"a": 1}
    for body, shown in (([1, 2], "an array of 2"), (None, "null"), ("x", "'x'"), (True, "true")):
        assert refusal(validation.object_of, body).message == (
            f"The body is {shown}; it must be a JSON object."
        )


def test_flags() -> None:
    for default in (True, False):
        assert (
            validation.flag({}, "f", default)
            is validation.flag({"f": None}, "f", default)
            is default
        )
        assert validation.flag({"f": True}, "f", default) is True
        assert validation.flag({"f": False}, "f", default) is False
    for value in (0, 1, "true", []):
        error = refusal(validation.flag, {"f": value}, "f", True)
        assert error.param == "f" and "it must be true, false or null" in error.message


def test_choices() -> None:
    allowed = ("mean", "cls")
    assert validation.choice({}, "p", allowed, "mean") == "mean"
    assert validation.choice({"p": "cls"}, "p", allowed, "mean") == "cls"
    for value in ("max", ["cls"], 3, {}):
        assert (
            "one of mean, cls"
            in refusal(validation.choice, {"p": value}, "p", allowed, "x").message
        )


def test_texts() -> None:
    assert validation.text({}, "t") is validation.text({"t": None}, "t") is None
    assert validation.text({"t": ""}, "t") == ""
    assert "a string or null" in refusal(validation.text, {"t": 5}, "t").message


def test_whole_numbers() -> None:
    assert validation.whole_number({}, "n") is None
    assert validation.whole_number({"n": -3}, "n") == -3
    found = validation.whole_number({"n": 5.0}, "n")
    assert found == 5 and type(found) is int
    for value in (5.5, True, "5", [5], float("nan"), float("inf")):
        assert "an integer or null" in refusal(validation.whole_number, {"n": value}, "n").message


def test_strings() -> None:
    assert validation.strings("a", "input") == ["a"]
    assert validation.strings([], "input") == []
    assert validation.strings(["a", ""], "input") == ["a", ""]
    assert refusal(validation.strings, ["a", 1], "input").param == "input[1]"
    assert "array of strings" in refusal(validation.strings, {"a": 1}, "input").message


def test_long_values_are_shortened_in_messages() -> None:
    assert validation.shown("x" * 100) == repr("x" * validation.SHOWN)
    assert validation.shown({"a": "secret"}) == "an object"
    assert [validation.shown(value) for value in (1.5, False, None)] == ["1.5", "false", "null"]
