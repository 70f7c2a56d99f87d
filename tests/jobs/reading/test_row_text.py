"""One row's values to its text and its carried columns, or to a reason."""

import pytest

from engine.jobs.options import Fields, parse_fields, parse_template
from engine.jobs.reading.row_text import BadRow, compose, text_and_carried

FIELDS = Fields(parse_template("{title}: {body}"), "id", ("n",))
ROW = {"id": 7, "title": "A", "body": "b", "n": {"x": [1, "é"]}, "more": 1}


def test_a_row_is_a_text_and_what_is_carried_as_strings() -> None:
    assert text_and_carried(ROW, FIELDS) == ("A: b", ["7", '{"x": [1, "é"]}'])
    assert text_and_carried({**ROW, "n": None}, FIELDS) == ("A: b", ["7", None])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": None}, "'title' is null"),
        ({"body": 3}, "'body' is of type int, not a string"),
        ({"body": True}, "'body' is of type bool, not a string"),
        ({"title": "\udcff"}, "'title' is not valid Unicode"),
        ({"id": None}, "'id', the id, is null or missing"),
        ({"n": "\ud800"}, "'n' is not valid Unicode"),
    ],
)
def test_a_bad_row_carries_nothing_but_its_reason(change: dict[str, object], reason: str) -> None:
    bad, carried = text_and_carried({**ROW, **change}, FIELDS)
    assert isinstance(bad, BadRow) and bad.reason.startswith(reason)
    assert bad.id == (None if "id" in change else "7")
    assert carried == [None, None]


def test_a_missing_column_is_not_a_null_one() -> None:
    bad, _ = text_and_carried({"id": 1, "title": "A"}, FIELDS)
    assert bad == BadRow("there is no 'body'", "1")


def test_a_row_that_could_not_be_read_stays_bad() -> None:
    assert text_and_carried(BadRow("malformed"), FIELDS) == (BadRow("malformed"), [None, None])


def test_compose_takes_values_in_the_order_of_the_columns() -> None:
    assert compose(["x", "y"], FIELDS) == "x: y"
    assert compose(["東", ""], FIELDS) == "東: "


def test_a_rejected_row_has_its_id_in_the_type_of_its_column() -> None:
    fields = parse_fields("text", "id:int64", ["n:int64"], "reject")
    bad, _ = text_and_carried({"id": "7", "text": "a", "n": "x"}, fields)
    assert isinstance(bad, BadRow) and bad.id == 7
    bad, _ = text_and_carried({"id": "x", "text": "a"}, fields)
    assert isinstance(bad, BadRow) and bad.id is None and bad.reason.startswith("'id' is 'x', not")
