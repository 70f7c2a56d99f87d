"""The helpers that build schemas and operations."""

from jsonschema import Draft202012Validator as Validator

from engine.serve.dialects import schemas


def test_objects_and_their_required_fields() -> None:
    made = schemas.obj({"a": schemas.STRING}, "a b", additionalProperties=False)
    assert made["required"] == ["a", "b"] and made["additionalProperties"] is False
    assert "required" not in schemas.obj({})
    assert schemas.nullable("string", maxLength=3) == {"type": ["string", "null"], "maxLength": 3}


def test_texts_are_one_string_or_an_array() -> None:
    texts = Validator(schemas.texts(2))
    assert all(map(texts.is_valid, ("a", ["a"], ["a", "b"])))
    assert not any(map(texts.is_valid, ("", [], [""], ["a", "b", "c"], 5, [5], None)))


def test_every_operation_gets_the_errors() -> None:
    get, post = (schemas.operation(name, name, schemas.STRING) for name in ("a", "b"))
    paths = {"/x": {"get": get, "post": post, "parameters": []}}
    assert schemas.with_errors(paths, ("400", "429"), schemas.INTEGER) is paths
    for each in (get, post):
        assert set(each["responses"]) == {"200", "400", "429"}
        assert each["responses"]["429"]["description"] == schemas.REASONS["429"]
