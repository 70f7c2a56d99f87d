"""Texts that are values of options, and texts that are not."""

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
        (values.one_of(("a", "b")), "c", "must be one of a, b"),
    ],
)
def test_not_a_value(parse, text, why):
    with pytest.raises(ValueError, match=why):
        parse(text)
