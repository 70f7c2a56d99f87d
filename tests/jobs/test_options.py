"""Templates and names of columns."""

import pytest

from engine.errors import InputError
from engine.jobs.options import Fields, Template, check_names, parse_template


def test_a_plain_name_is_the_column_itself() -> None:
    assert parse_template("a b") == Template(("", ""), ("a b",))
    assert parse_template("a\\n").columns == ("a\\n",)  # escapes are for templates


def test_a_template_renders_literals_columns_escapes_and_braces() -> None:
    template = parse_template(r"{{{title}}}\n\t\\{body}\q")
    assert template.columns == ("title", "body")
    assert template.render(["T", "B"]) == "{T}\n\t\\B\\q"


def test_a_column_may_stand_twice() -> None:
    assert parse_template("{a}{a}").render(["x", "y"]) == "xy"


def test_the_id_is_carried_first() -> None:
    text = parse_template("text")
    assert Fields(text, "id", ("a", "b")).carried == ("id", "a", "b")
    assert Fields(text, None, ("a",)).carried == ("a",)


@pytest.mark.parametrize(
    ("id", "keep", "told"),
    [
        (None, ("embedding",), "'embedding' conflicts"),
        ("scale", (), "'scale' conflicts"),
        (None, ("file",), "'file' conflicts"),
        (None, ("row",), "'row' conflicts"),
        ("a", ("a",), "'a' is given twice"),
        (None, ("b", "b"), "'b' is given twice"),
    ],
)
def test_names_that_collide(id: str | None, keep: tuple[str, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_names(Fields(parse_template("text"), id, keep))


def test_with_an_id_file_and_row_are_free() -> None:
    check_names(Fields(parse_template("text"), "file", ("row",)))
