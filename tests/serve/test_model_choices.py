"""Models and what is said for one of them, from the text of options."""

import pytest

from engine.serve.model_choices import ModelChoice, read_choices, with_values


@pytest.mark.parametrize(
    ("text", "choices"),
    [
        ("a", [ModelChoice("a")]),
        (" a  b=x,,y ", [ModelChoice("a"), ModelChoice("b", ("x", "y"))]),
        ("@cf/baai/bge-base-en-v1.5=base", [ModelChoice("@cf/baai/bge-base-en-v1.5", ("base",))]),
        ("C:/models/me@work:1;[x]", [ModelChoice("C:/models/me@work:1;[x]")]),
        ("", []),
    ],
)
def test_names_folders_and_aliases(text: str, choices: list[ModelChoice]) -> None:
    assert read_choices(text) == tuple(choices)


def test_an_alias_needs_a_model() -> None:
    with pytest.raises(ValueError, match="must be NAME, FOLDER or either with =ALIAS"):
        read_choices("a =x")


def test_values_are_given_by_source_or_alias() -> None:
    choices = read_choices("a /tmp/b@int8=x,y c")
    found = with_values(choices, "precision", {"a": "int8", "y": "int16"})
    assert [one.precision for one in found] == ["int8", "int16", None]
    found = with_values(found, "threads", {"/tmp/b@int8": 3})
    assert [one.threads for one in found] == [None, 3, None]
    assert found[1] == ModelChoice("/tmp/b@int8", ("x", "y"), "int16", 3)
    assert with_values(choices, "threads", {}) == choices


def test_a_value_for_a_model_that_is_not_served() -> None:
    with pytest.raises(ValueError, match="z=int8: no --model is 'z'; there are: a, b, x"):
        with_values(read_choices("a b=x"), "precision", {"z": "int8"})
