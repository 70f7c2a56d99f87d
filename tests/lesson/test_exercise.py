"""Exercises: right answers, wrong ones, and what is no answer."""

import pytest

from engine.lesson.exercise import Exercise

NUMBER = Exercise(
    "?", 0.25, "Think.", within=0.006, mistakes={0.5: "Halve it.", -0.25: "The sign."}
)
COUNT = Exercise("?", 12, "Count.")
WORDS = Exercise("?", "un ##able", "Longest first.", mistakes={"un able": "Write ##."})


@pytest.mark.parametrize("given", ["0.25", " 0.25 ", ".25", "0.254", "2.5e-1", "0.245", "+0.25"])
def test_right_numbers(given: str) -> None:
    assert NUMBER.why_wrong(given) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("0.26", "0.26 is too large. Think."),
        ("0.2", "0.2 is too small. Think."),
        ("0.5", "Halve it."),
        ("-0.25", "The sign."),
        ("nan", "'nan' is not a finite number. Think."),
        ("inf", "'inf' is not a finite number. Think."),
        ("1e999", "'1e999' is not a finite number. Think."),
        ("", "'' is not a number. Give one such as 0.25."),
        ("0,25", "'0,25' is not a number. Give one such as 0.25."),
        ("a quarter", "'a quarter' is not a number. Give one such as 0.25."),
    ],
)
def test_wrong_numbers(given: str, why: str) -> None:
    assert NUMBER.why_wrong(given) == why


def test_counts_are_exact() -> None:
    assert COUNT.why_wrong("12") is None and COUNT.why_wrong("12.0") is None
    assert COUNT.why_wrong("12.001") == "12.001 is too large. Count."
    assert COUNT.why_wrong("twelve") == "'twelve' is not a number. Give one such as 12."


@pytest.mark.parametrize("given", ["un ##able", "  un   ##able\t"])
def test_right_words(given: str) -> None:
    assert WORDS.why_wrong(given) is None


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("un able", "Write ##."),
        ("un##able", "'un##able' is not it. Longest first."),
        ("UN ##able", "'UN ##able' is not it. Longest first."),
        ("", "'' is not it. Longest first."),
        ("nan", "'nan' is not it. Longest first."),
    ],
)
def test_wrong_words(given: str, why: str) -> None:
    assert WORDS.why_wrong(given) == why
