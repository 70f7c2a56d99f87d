"""The field output_dtype, by itself; test_openai.py and tei/test_routes.py have it over HTTP."""

import base64

import numpy as np
import pytest

from engine.serve.dialects.output_types import converted, output_type, to_base64
from engine.serve.http.errors import HTTPError


def test_floats_stay_as_they_are():
    vectors = np.eye(3, dtype=np.float32)
    assert output_type({}) == output_type({"output_dtype": None}) == "float"
    values, scales = converted(vectors, "float")
    assert values is vectors and scales is None


def test_what_is_allowed():
    assert output_type({"output_dtype": "ubinary"}) == "ubinary"
    with pytest.raises(HTTPError, match="must be one of float, int8, uint8, binary, ubinary"):
        output_type({"output_dtype": 8})


def test_base64_is_little_endian():
    assert base64.b64decode(to_base64(np.array([1], ">f4"))) == b"\0\0\x80?"
    assert base64.b64decode(to_base64(np.array([-1, 5], np.int8))) == b"\xff\x05"
