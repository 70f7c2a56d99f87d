"""Vectors in fewer bytes: what each type holds, and how close it is."""

import numpy as np
import pytest

import engine
from engine.errors import InputError
from engine.literals import VECTOR_TYPES
from engine.vectors.quantized import quantize

RNG = np.random.default_rng(7)
VECTORS = RNG.standard_normal((50, 64)).astype(np.float32)


def test_int8_is_within_half_a_scale() -> None:
    values, scales = quantize(VECTORS, "int8")
    assert values.dtype == np.int8 and scales is not None and scales.dtype == np.float32
    assert (np.abs(values.astype(int)).max(axis=1) == 127).all()
    error = np.abs(values * scales[:, None] - VECTORS)
    # float32's rounding of the quotient and the product adds 127 * 2^-24 of a scale each
    assert (error <= scales[:, None] * (0.5 + 127 * 2**-22)).all()


def test_uint8_is_int8_plus_128() -> None:
    signed, unsigned = quantize(VECTORS, "int8"), quantize(VECTORS, "uint8")
    assert unsigned.values.dtype == np.uint8
    assert (unsigned.values.astype(int) == signed.values.astype(int) + 128).all()
    assert np.array_equal(unsigned.scales, signed.scales)


def test_bits_are_the_signs() -> None:
    bits = quantize(VECTORS, "ubinary")
    assert bits.values.dtype == np.uint8 and bits.values.shape == (50, 8) and bits.scales is None
    assert np.array_equal(np.unpackbits(bits.values, axis=1), (VECTORS > 0).astype(np.uint8))
    signed = quantize(VECTORS, "binary").values
    assert signed.dtype == np.int8
    assert (signed.astype(int) == bits.values.astype(int) - 128).all()
    assert quantize([0.5, -1.0, 0.0, 2.0, 0.1, -0.1, 0.0, 1.0], "ubinary").values.tolist() == [153]


def test_the_last_byte_of_bits_is_filled_with_zeros() -> None:
    assert quantize([1.0] * 9, "ubinary").values.tolist() == [255, 128]
    assert quantize([1.0] * 9, "binary").values.tolist() == [127, 0]


@pytest.mark.reference
def test_they_are_those_of_sentence_transformers() -> None:
    from sentence_transformers.util.quantization import quantize_embeddings

    for dtype in ("binary", "ubinary"):
        theirs = quantize_embeddings(VECTORS, precision=dtype)
        ours = quantize(VECTORS, dtype).values
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", VECTOR_TYPES)
def test_a_vector_does_not_depend_on_the_others(dtype: str) -> None:
    values, scales = quantize(VECTORS, dtype)
    alone = quantize(VECTORS[3], dtype)
    assert np.array_equal(values[3], alone.values)
    assert scales is None or scales[3] == alone.scales
    assert len(engine.quantize(VECTORS[:0], dtype).values) == 0


def test_zeros_have_the_scale_0() -> None:
    values, scales = quantize(np.zeros((1, 8), np.float32), "int8")
    assert values.tolist() == [[0] * 8] and scales is not None and scales.tolist() == [0]


@pytest.mark.parametrize(
    ("vectors", "dtype", "why"),
    [
        (VECTORS, "int4", "dtype is 'int4'; it must be one of int8, uint8, binary, ubinary"),
        (VECTORS[None], "int8", r"shape \(1, 50, 64\)"),
        ([1, 2], "int8", "type int64; give"),
    ],
)
def test_what_cannot_be_converted_is_refused(vectors: object, dtype: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        quantize(vectors, dtype)
