"""What they say is valid is what the routes take, and the reverse."""

import pytest
from jsonschema import Draft202012Validator as Validator

from engine.serve.dialects import schemas
from engine.serve.dialects.cloudflare_validation import MAX_TEXTS, check_run
from engine.serve.http.errors import Problem

ALL = {n: value for n, value in vars(schemas).items() if n.isupper() and isinstance(value, dict)}


@pytest.mark.parametrize("name", ALL)
def test_each_is_a_schema(name: str) -> None:
    Validator.check_schema(ALL[name])


@pytest.mark.parametrize(
    "body",
    [
        {"text": "a"}, {"text": ["a", "b"]}, {"text": "a", "pooling": "cls"},
        {"requests": [{"text": "a", "external_reference": {"x": 1}}]},
        {"text": ["a"] * MAX_TEXTS}, {"text": "a", "options": {"rejectIfBusy": True}},
        {}, {"text": ""}, {"text": []}, {"text": [""]}, {"text": 5}, {"text": ["a", 5]},
        {"text": "a", "pooling": "max"}, {"requests": []}, {"requests": [{}]}, {"requests": "a"},
        {"text": ["a"] * (MAX_TEXTS + 1)}, {"text": "a", "requests": [{"text": "b"}]},
        {"text": "a", "requests": []}, {"text": "a", "requests": [{"text": []}]},
        {"text": "a", "requests": [{}]}, {"text": "a", "requests": "b"},
        {"text": [], "requests": [{"text": "a"}]}, {"text": 5, "requests": [{"text": "a"}]},
    ],
)  # fmt: skip
def test_cloudflares_input_is_what_the_route_takes(body: dict[str, object]) -> None:
    try:
        check_run(body)
        taken = True
    except Problem:
        taken = False
    assert Validator(schemas.RUN_INPUT).is_valid(body) == taken


def test_objects_and_their_required_fields() -> None:
    made = schemas.obj({"a": schemas.STRING}, "a b", additionalProperties=False)
    assert made["required"] == ["a", "b"] and made["additionalProperties"] is False
    assert "required" not in schemas.obj({})
    assert schemas.nullable("string", maxLength=3) == {"type": ["string", "null"], "maxLength": 3}


def test_answers() -> None:
    vectors = {"shape": [1, 2], "data": [[0.5, 1]], "pooling": "mean"}
    output = Validator(schemas.envelope(schemas.RUN_OUTPUT))
    body = {"result": vectors, "success": True, "errors": [], "messages": []}
    assert output.is_valid(body)
    assert not output.is_valid({**body, "result": {**vectors, "data": [[None]]}})
    assert not output.is_valid({**body, "success": False})
    error = {"errors": [{"code": 1, "message": "m"}], "success": False, "result": {}}
    assert Validator(schemas.ENVELOPE_ERROR).is_valid({**error, "messages": []})
    assert not Validator(schemas.ENVELOPE_ERROR).is_valid({**error, "errors": [], "messages": []})
