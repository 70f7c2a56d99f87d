"""Options that several commands have."""

from argparse import ArgumentParser, ArgumentTypeError

import pytest

from engine.cli import options
from engine.literals import PRECISIONS


def parser(*groups: object) -> ArgumentParser:
    made = ArgumentParser(exit_on_error=False)
    for group in groups:
        group(made)  # type: ignore[operator]
    return made


@pytest.mark.parametrize("word", ["0", "-1", "1.5", "", "one", "１.０"])
def test_only_positive_integers(word: str) -> None:
    assert options.positive("12") == 12
    with pytest.raises(ArgumentTypeError, match="is not a positive integer"):
        options.positive(word)


@pytest.mark.parametrize("group", [options.model_argument, options.model_option])
def test_the_model_is_that_of_the_environment(
    group: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BGE_MODEL", raising=False)
    assert parser(group).parse_args([]).model == "bge-base-en-v1.5"
    monkeypatch.setenv("BGE_MODEL", "another")
    assert parser(group).parse_args([]).model == "another"


def test_the_first_precision_is_the_default() -> None:
    assert parser(options.precision_option).parse_args([]).precision == PRECISIONS[0]
    few = parser(lambda command: options.precision_option(command, ("int8", "reference")))
    assert few.parse_args([]).precision == "int8"


def test_what_is_not_given_is_left_to_the_library() -> None:
    given = vars(parser(options.run_options, options.vector_options).parse_args([]))
    assert given == {
        "threads": None, "offline": False, "pooling": None, "normalize": None,
        "truncate_dim": None, "on_truncate": "warn", "prompt": None, "query": False,
        "document": False,
    }  # fmt: skip
