"""Templates and names of columns."""

import pytest

from engine.errors import InputError
from engine.jobs.options import (
    Fields,
    Template,
    check_names,
    parse_column,
    parse_fields,
    parse_template,
)


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


@pytest.mark.parametrize(
    ("template", "values", "expected"),
    [
        ("{a}\\n{b}", ["", "B"], "B"),
        ("{a}\\n{b}", ["A", ""], "A"),
        ("{a}, {b}, {c}", ["A", "", "C"], "A, C"),
        ("{a}, {b}, {c}", ["", "", "C"], "C"),
        ("{a}, {b}, {c}", ["", "B", ""], "B"),
        ("{a} ({b})", ["A", ""], "A"),
        ("Title: {a}\\nBody: {b}.", ["A", "B"], "Title: A\nBody: B."),
        ("Title: {a}\\nBody: {b}.", ["", "B"], "B."),
        ("{a}{a}", ["A", "A"], "AA"),
    ],
)
def test_an_empty_value_is_left_out_with_the_literal_before_it(
    template: str, values: list[str], expected: str
) -> None:
    assert parse_template(template).render_filled(values) == expected


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("year", ("year", None)), ("year:int64", ("year", "int64")), ("a:b", ("a:b", None)),
        ("a:b:bool", ("a:b", "bool")), ("x:string:string", ("x:string", "string")),
        (":int64", (":int64", None)),
    ],
)  # fmt: skip
def test_a_column_may_have_a_type(text: str, column: tuple[str, str | None]) -> None:
    assert parse_column(text) == column


def test_fields_know_the_declared_types() -> None:
    made = parse_fields("text", "id:int64", ["a", "b:bool"], "empty")
    expected = Fields(
        parse_template("text"), "id", ("a", "b"), "empty", {"id": "int64", "b": "bool"}
    )
    assert made == expected
    with pytest.raises(InputError, match="'a' is given twice"):
        parse_fields("text", "a:int64", ["a"], "reject")
