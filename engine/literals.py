"""The allowed values of options, each list once: as a type, and as a tuple."""

from typing import Literal, get_args

Precision = Literal["float32", "int16", "int8", "reference"]
Pooling = Literal["mean", "cls"]
OnTruncate = Literal["warn", "error", "ignore"]
Side = Literal["right", "left"]
Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]
VectorType = Literal["int8", "uint8", "binary", "ubinary"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
ON_TRUNCATE: tuple[OnTruncate, ...] = get_args(OnTruncate)
SIDES: tuple[Side, ...] = get_args(Side)
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)
VECTOR_TYPES: tuple[VectorType, ...] = get_args(VectorType)
