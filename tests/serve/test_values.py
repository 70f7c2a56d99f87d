"""Texts that are values of options, and texts that are not."""

from argparse import ArgumentTypeError

import pytest

from engine.serve import values


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (values.positive, "12", 12),
        (values.seconds, "0.5", 0.5),
        (values.port, "0", 0),
        (values.port, "65535", 65535),
        (values.flag, "Yes", True),
        (values.flag, "0", False),
        (values.proxies, " 10.0.0.0/8  ::1 unix", ("10.0.0.0/8", "::1", "unix")),
        (values.one_of(("a", "b")), "b", "b"),
    ],
)
def test_a_value(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (values.positive, "0", "must be at least 1"),
        (values.positive, "1.5", "invalid literal"),
        (values.seconds, "nan", "must be at least 0.001"),
        (values.seconds, "inf", "must be at least 0.001"),
        (values.port, "65536", "must be from 0 to 65535"),
        (values.flag, "perhaps", "must be 1 or 0"),
        (values.proxies, "::1 10.0.0.1/8", "10.0.0.1/8 has host bits set; allowed are addresses"),
        (values.proxies, "10.0.0.1,::1", "does not appear to be .* separated by spaces"),
        (values.one_of(("a", "b")), "c", "must be one of a, b"),
    ],
)
def test_not_a_value(parse, text, why):
    with pytest.raises(ValueError, match=why):
        parse(text)


def test_values_for_all_models_and_for_one() -> None:
    parse = values.per_model(values.positive)
    assert parse("3") == {"": 3}
    assert parse(" 3  a=1 /m/b=c@d:e=2 ") == {"": 3, "a": 1, "/m/b=c@d:e": 2}
    assert parse("") == {}
    with pytest.raises(ValueError, match="must be VALUE, or MODEL=VALUE for one model"):
        parse("=3")
    with pytest.raises(ValueError, match="must be at least 1"):
        parse("a=0")


def test_the_reason_for_a_refusal_reaches_the_message() -> None:
    assert values.with_reason(values.positive)("3") == 3
    with pytest.raises(ArgumentTypeError, match="'0': must be at least 1"):
        values.with_reason(values.positive)("0")
