"""The values of options, read from text: each function returns the value or raises ValueError."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from engine.serve.http.proxies import Proxies

N = TypeVar("N", int, float)
T = TypeVar("T")


def positive(text: str) -> int:
    """An integer of at least 1."""
    return _at_least(int(text), 1)


def seconds(text: str) -> float:
    """A time of at least a millisecond."""
    return _at_least(float(text), 0.001)


def _at_least(value: N, least: N) -> N:
    if not least <= value < float("inf"):
        raise ValueError(f"must be at least {least}")
    return value


def port(text: str) -> int:
    """A port number; 0 means any free one."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError("must be from 0 to 65535")
    return number


def proxies(text: str) -> tuple[str, ...]:
    """Addresses, networks or the word unix, separated by spaces."""
    words = tuple(text.split())
    for word in words:
        try:
            Proxies([word])
        except ValueError as error:
            allowed = "addresses (10.0.0.1), networks (10.0.0.0/8) and unix, separated by spaces"
            raise ValueError(f"{error}; allowed are {allowed}") from None
    return words


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    """A function that accepts these words only."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text

    return parse


def per_model(parse: Callable[[str], T]) -> Callable[[str], dict[str, T]]:
    """A function for values separated by spaces: VALUE for all models, MODEL=VALUE for one.

    It returns them by model, and the value for all under "".
    """

    def parse_all(text: str) -> dict[str, T]:
        found = {}
        for word in text.split():
            model, equals, value = word.rpartition("=")
            if equals and not model:
                raise ValueError("must be VALUE, or MODEL=VALUE for one model")
            found[model] = parse(value)
        return found

    return parse_all


def flag(text: str) -> bool:
    """1, true, yes, 0, false or no."""
    known = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError("must be 1 or 0")
    return known[text.lower()]


def with_reason(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse`, with the reason of a ValueError in argparse's message, which omits it."""

    def parse_argument(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None

    return parse_argument
