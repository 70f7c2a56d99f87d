"""The field `output_dtype` of OpenAI's and TEI's routes: vectors in fewer bytes.

The names are those of Voyage's and Cohere's APIs; `engine.quantize` defines the values.
"""

import base64
from typing import Any

from numpy.typing import NDArray

import engine
from engine.literals import VECTOR_TYPES
from engine.serve.batching.request import Vectors
from engine.serve.dialects.schemas import Schema
from engine.serve.http import validation

FLOAT = "float"
SCHEMA: Schema = {"enum": [FLOAT, *VECTOR_TYPES, None]}


def output_type(body: dict[str, Any]) -> str:
    """The type that a request asks for. Raises HTTPError."""
    return validation.choice(body, "output_dtype", (FLOAT, *VECTOR_TYPES), FLOAT)


def converted(vectors: Vectors, wanted: str) -> tuple[NDArray[Any], Any]:
    """The vectors in that type, and their scales, (n,), or None."""
    if wanted == FLOAT:
        return vectors, None
    return engine.quantize(vectors, wanted)  # type: ignore[arg-type]


def to_base64(row: NDArray[Any]) -> str:
    """The bytes of one vector, floats little-endian."""
    little_endian = row.astype(row.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(little_endian.tobytes()).decode()
