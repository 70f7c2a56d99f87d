"""numba learns vectors, and functions that are LLVM instructions."""

from typing import Any

import numpy as np
import pytest
from llvmlite import ir
from numba.core.errors import TypingError

from engine.fast.codegen import simd
from engine.fast.codegen.constants import LANES, TARGET
from engine.fast.codegen.numba_vectors import (
    F32,
    I1,
    I32,
    F,
    I,
    M,
    VectorType,
    element,
    float32,
    fma_value,
    int64,
    llvm_call,
    llvm_declared,
    splat_value,
    taught,
    teach,
    void,
)
from engine.fast.kernels import jit
from tests.fast.compiled import address
from tests.fast.rounding import multiply_add


def builder() -> ir.IRBuilder:
    """Writes into an empty function of a module of its own."""
    function = ir.Function(ir.Module(), ir.FunctionType(ir.VoidType(), []), "test")
    return ir.IRBuilder(function.append_basic_block())


# types


def test_a_vector_has_as_many_elements_as_the_target_has_lanes() -> None:
    assert (F.llvm, I.llvm, M.llvm) == tuple(ir.VectorType(kind, LANES) for kind in (F32, I32, I1))


def test_vectors_are_of_one_type_if_their_elements_are() -> None:
    assert VectorType(F32) == F and VectorType(I32) == I
    assert len({F, I, M}) == 3


# teach


def triple(x):  # type: ignore[no-untyped-def]
    raise NotImplementedError("compiled code only")


teach(
    triple,
    (float32, float32, lambda b, x: b.fmul(x, ir.Constant(F32, 3))),
    (int64, int64, lambda b, x: b.mul(x, x.type(3))),
    (I, I, lambda b, x: b.mul(x, ir.Constant(I.llvm, [3] * LANES))),
)


def test_the_types_of_arguments_choose_the_instructions() -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(x):  # type: ignore[no-untyped-def]
        return triple(x)

    @jit  # type: ignore[untyped-decorator]
    def vector(x):  # type: ignore[no-untyped-def]
        simd.store(x, 0, triple(simd.load_i(x, 0)))

    assert call(np.float32(1.5)) == 4.5 and call(2**40) == 3 * 2**40
    x = np.arange(LANES, dtype=np.int32)
    vector(address(x))
    assert np.array_equal(x, 3 * np.arange(LANES))


def test_other_types_are_refused() -> None:
    @jit  # type: ignore[untyped-decorator]
    def call(x):  # type: ignore[no-untyped-def]
        return triple(simd.load_f(x, 0))

    with pytest.raises(TypingError, match="triple"):
        call(0)


def test_a_function_without_a_result() -> None:
    def emit(b: Any, at: Any, value: Any) -> Any:
        return b.store(value, b.inttoptr(at, value.type.as_pointer()))

    @taught((void, int64, int64, emit))
    def write(at, value):  # type: ignore[no-untyped-def]
        """An int64 to an address."""

    @jit  # type: ignore[untyped-decorator]
    def call(at):  # type: ignore[no-untyped-def]
        write(at, 5)
        return write(at + 8, 7)

    x = np.zeros(3, np.int64)
    assert call(address(x)) is None
    assert x.tolist() == [5, 7, 0]


def test_the_decorator_leaves_the_function_itself() -> None:
    def named(x):  # type: ignore[no-untyped-def]
        """What it does."""

    assert taught((int64, int64, lambda b, x: x))(named) is named


# pieces of LLVM


def test_a_function_is_declared_once_in_a_module() -> None:
    b, kind = builder(), ir.FunctionType(I32, [I32])
    first = llvm_declared(b, "one", kind)
    assert llvm_declared(b, "one", kind) is first
    assert llvm_declared(b, "other", kind) is not first
    assert first.ftype == kind and first.is_declaration


def test_an_intrinsic_has_the_type_of_its_first_argument() -> None:
    b = builder()
    for _ in range(2):
        call = llvm_call(b, "llvm.two", ir.Constant(F32, 1), ir.Constant(I32, 2))
        assert call.type == F32
    (declared,) = (f for f in b.module.functions if f.is_declaration)
    assert declared.name == "llvm.two" and declared.ftype == ir.FunctionType(F32, [F32, I32])


def test_an_element_is_four_bytes_whatever_is_read_there() -> None:
    def byte(b: Any, at: Any, index: Any) -> Any:
        return b.zext(b.load(element(b, at, index, ir.IntType(8))), ir.IntType(64))

    @taught((int64, int64, int64, byte))
    def byte_at(at, index):  # type: ignore[no-untyped-def]
        """The first byte of an element."""

    @jit  # type: ignore[untyped-decorator]
    def call(at, index):  # type: ignore[no-untyped-def]
        return byte_at(at, index)

    x = np.array([10, 11, 12, 13], np.int32)
    assert [call(address(x) + 4, i) for i in (-1, 0, 1, 2)] == [10, 11, 12, 13]


def test_a_number_goes_to_every_lane() -> None:
    @taught((I, int64, lambda b, x: splat_value(b, b.trunc(x, I32))))
    def spread(x):  # type: ignore[no-untyped-def]
        """The number in every lane."""

    @jit  # type: ignore[untyped-decorator]
    def call(x, out):  # type: ignore[no-untyped-def]
        simd.store(out, 0, spread(x))

    out = np.zeros(LANES, np.int32)
    call(-9, address(out))
    assert (out == -9).all()


def test_fma_has_one_rounding_where_the_target_fuses() -> None:
    @taught((F, F, F, F, fma_value))
    def fused(x, y, z):  # type: ignore[no-untyped-def]
        """x y + z."""

    @jit  # type: ignore[untyped-decorator]
    def call(x, y, z, out):  # type: ignore[no-untyped-def]
        simd.store(out, 0, fused(simd.load_f(x, 0), simd.load_f(y, 0), simd.load_f(z, 0)))

    x, y = np.random.default_rng(0).standard_normal((2, LANES), np.float32)
    z, out = -(x * y), np.empty_like(x)
    call(*map(address, (x, y, z, out)))
    assert np.array_equal(out, multiply_add(x, y, z)) and out.any() == TARGET.fuses
