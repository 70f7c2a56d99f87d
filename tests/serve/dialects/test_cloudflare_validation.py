"""The checks against what Cloudflare's own validator said of the same bodies.

Observed by running @cloudflare/cabidela 0.2.4 (npm) on Cloudflare's published input schema of
@cf/baai/bge-base-en-v1.5, with applyDefaults, under Node 20.
"""

import pytest

from engine.serve.dialects.cloudflare_validation import (
    check_batch,
    check_item,
    check_option,
    check_run,
)
from engine.serve.http.errors import ErrorKind, HTTPError

NO_TEXT = "required properties at '/' are 'text'"
NO_REQUESTS = "required properties at '/' are 'requests'"
NEITHER = f"0 matches: {NO_TEXT}, {NO_REQUESTS}"
NOT_ARRAY = "Type mismatch of '/text', 'array' not in 'string'"
IN_BATCH = "Type mismatch of '/requests/0/text', 'array' not in 'string'"


def mismatch(types: str) -> str:
    found = f"Type mismatch of '/text', 'string' not in {types}"
    return f"0 matches: {found}, {NO_TEXT}, {NO_REQUESTS}"


def bad_pooling(shown: str) -> str:
    return f"0 matches: {NOT_ARRAY}, enum {shown} not in mean,cls at '/pooling', {NO_REQUESTS}"


OBSERVED = [
    ({}, NEITHER),
    ([1], NEITHER),
    ("x", NEITHER),
    (5, NEITHER),
    (None, NEITHER),
    (True, NEITHER),
    ({"messages": []}, NEITHER),
    ({"pooling": "cls"}, NEITHER),
    ({"requests": {}}, NEITHER),
    ({"requests": 5}, NEITHER),
    ({"requests": None}, NEITHER),
    (
        {"text": ""},
        f"0 matches: Length of '/text' must be >= 1 not met, {NOT_ARRAY}, {NO_TEXT}, {NO_REQUESTS}",
    ),
    ({"text": 5}, mismatch("'number','integer'")),
    ({"text": 5.0}, mismatch("'number','integer'")),
    ({"text": 5.5}, mismatch("'number'")),
    ({"text": True}, mismatch("'boolean'")),
    ({"text": None}, mismatch("'null'")),
    ({"text": {}}, mismatch("'object'")),
    ({"text": "a", "pooling": "max"}, bad_pooling("max")),
    ({"text": "a", "pooling": None}, bad_pooling("null")),
    ({"text": "a", "pooling": 5}, bad_pooling("5")),
    ({"text": "a", "pooling": 5.5}, bad_pooling("5.5")),
    ({"text": "a", "pooling": ["cls"]}, bad_pooling("cls")),
    ({"text": "a", "pooling": {}}, bad_pooling("[object Object]")),
    ({"text": "a", "pooling": True}, bad_pooling("true")),
    ({"text": "a", "pooling": ""}, bad_pooling("")),
    (
        {"text": ["a"], "pooling": "max"},
        "0 matches: Type mismatch of '/text', 'string' not in 'array','binary', "
        f"enum max not in mean,cls at '/pooling', {NO_REQUESTS}",
    ),
    ({"pooling": "max"}, f"0 matches: enum max not in mean,cls at '/pooling', {NO_REQUESTS}"),
    (
        {"requests": "x"},
        f"0 matches: {NO_TEXT}, Type mismatch of '/requests', 'array' not in 'string'",
    ),
    (
        {"requests": [{"foo": 1}]},
        f"0 matches: {NO_TEXT}, required properties at '/requests/0' are 'text'",
    ),
    (
        {"requests": [[]]},
        f"0 matches: {NO_TEXT}, required properties at '/requests/0' are 'text'",
    ),
    (
        {"requests": [{"text": ""}]},
        f"0 matches: {NO_TEXT}, Length of '/requests/0/text' must be >= 1 not met, {IN_BATCH}, "
        "required properties at '/requests/0' are 'text'",
    ),
    (
        {"requests": [{"text": "a"}, {"text": 5}]},
        f"0 matches: {NO_TEXT}, {IN_BATCH}, Type mismatch of '/requests/1/text', "
        "'string' not in 'number','integer', required properties at '/requests/1' are 'text'",
    ),
    (
        {"requests": [{"text": "a", "pooling": "max"}]},
        f"0 matches: {NO_TEXT}, {IN_BATCH}, enum max not in mean,cls at '/requests/0/pooling'",
    ),
    (
        {"text": "a", "requests": [{"text": "b"}]},
        f"2 matches: {NOT_ARRAY}, {IN_BATCH}",
    ),
    (
        {"text": ["a"], "requests": [{"text": ["b"]}]},
        "2 matches: Type mismatch of '/text', 'string' not in 'array','binary', "
        "Type mismatch of '/requests/0/text', 'string' not in 'array','binary'",
    ),
]

PASSED = [
    {"text": "a"},
    {"text": ["a"], "pooling": "cls"},
    {"text": "a", "foo": 1},
    {"text": "a", "requests": {}},
    {"requests": [{"text": "a", "external_reference": 5}]},
    {"text": 5, "requests": [{"text": "b"}]},
    {"pooling": "max", "requests": [{"text": "a"}]},
]

BATCH = {"requests": [{"text": "a"}]}
OURS = [  # these pass cabidela 0.2.4 and are refused in its style
    ({"text": []}, "minItems at '/text' is 1, got 0"),
    ({"text": ["a", 5]}, "Type mismatch of '/text/1', 'string' not in 'number','integer'"),
    ({"text": ["a", ""]}, "Length of '/text/1' must be >= 1 not met"),
    ({"text": ["a"] * 101}, "maxItems at '/text' is 100, got 101"),
    ({"text": [[]]}, "Type mismatch of '/text/0', 'string' not in 'array','binary'"),
    ({"requests": []}, "minItems at '/requests' is 1, got 0"),
    ({"requests": [{"text": ["a", None]}]}, "'/requests/0/text/1', 'string' not in 'null'"),
    ({"requests": [5]}, "Type mismatch of '/requests/0', 'object' not in 'number','integer'"),
]


def complaint(body, check=check_run):
    with pytest.raises(HTTPError) as caught:
        check(body)
    assert caught.value.kind is ErrorKind.INVALID
    return caught.value.message


@pytest.mark.parametrize(("body", "expected"), OBSERVED, ids=lambda value: str(value)[:50])
def test_messages_are_those_of_cloudflares_validator(body, expected):
    assert complaint(body) == f"Bad input: Error: oneOf at '/' not met, {expected}"


@pytest.mark.parametrize("body", PASSED, ids=str)
def test_accepts_what_cloudflares_validator_accepts(body):
    assert check_run(body) in ("text", "requests")


@pytest.mark.parametrize(("body", "expected"), OURS, ids=lambda value: str(value)[:50])
def test_refuses_what_the_model_cannot_use(body, expected):
    assert expected in complaint(body)


def test_nested_lists_are_shown_only_a_few_levels_deep():
    nest = []
    for _ in range(500):
        nest = [nest, "x"]
    assert len(complaint({"text": "a", "pooling": nest})) < 300


def test_an_item_of_a_queued_batch_is_a_text_request():
    check_item({"text": ["a"], "external_reference": "r"})
    assert "required properties at '/' are 'text'" in complaint(BATCH, check_item)


def test_of_a_batch_to_be_queued_only_the_outer_form_is_checked():
    assert len(check_batch({"requests": [{"text": 5}, {}]})) == 2
    assert NO_REQUESTS in complaint({"requests": {}}, check_batch)
    assert "minItems" in complaint({"requests": []}, check_batch)
    assert "'object' not in 'string'" in complaint({"requests": ["x"]}, check_batch)
    assert "10000 texts" in complaint({"requests": [{"text": ["a"] * 101}] * 100}, check_batch)


def test_options():
    assert check_option({"options": {"rejectIfBusy": True}}, "rejectIfBusy")
    assert not check_option({}, "rejectIfBusy")
    with pytest.raises(HTTPError, match="'/options/rejectIfBusy', 'boolean' not in 'string'"):
        check_option({"options": {"rejectIfBusy": "yes"}}, "rejectIfBusy")
    with pytest.raises(HTTPError, match="'/options', 'object' not in 'null'"):
        check_option({"options": None}, "rejectIfBusy")
