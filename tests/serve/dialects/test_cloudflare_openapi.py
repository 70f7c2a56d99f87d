"""The schemas accept exactly what the routes accept."""

import pytest
from jsonschema import Draft202012Validator as Validator

from engine.serve.dialects import cloudflare_openapi
from engine.serve.dialects.cloudflare_validation import MAX_TEXTS, check_run
from engine.serve.http.errors import HTTPError

ALL = {
    n: value
    for n, value in vars(cloudflare_openapi).items()
    if n.isupper() and isinstance(value, dict)
}


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
def test_the_input_schema_accepts_what_the_route_accepts(body: dict[str, object]) -> None:
    try:
        check_run(body)
        accepted = True
    except HTTPError:
        accepted = False
    assert Validator(cloudflare_openapi.RUN_INPUT).is_valid(body) == accepted


def test_responses() -> None:
    vectors = {"shape": [1, 2], "data": [[0.5, 1]], "pooling": "mean"}
    output = Validator(cloudflare_openapi.envelope(cloudflare_openapi.RUN_OUTPUT))
    body = {"result": vectors, "success": True, "errors": [], "messages": []}
    assert output.is_valid(body)
    assert not output.is_valid({**body, "result": {**vectors, "data": [[None]]}})
    assert not output.is_valid({**body, "success": False})
    error = {"errors": [{"code": 1, "message": "m"}], "success": False, "result": {}}
    assert Validator(cloudflare_openapi.ENVELOPE_ERROR).is_valid({**error, "messages": []})
    assert not Validator(cloudflare_openapi.ENVELOPE_ERROR).is_valid(
        {**error, "errors": [], "messages": []}
    )
