"""Vectors as values in numba: `x = load_f(address, i)`, `x * y + z`, `select(x > y, x, y)`.

What kernels do with the vectors of `numba_vectors`. Each function below is one or two LLVM
instructions, the same on every CPU, rounded as IEEE 754 says and never reordered: a sum has the
order in which it is written, and so the same bits wherever it is computed.

Addresses are integers, in bytes; an index beside an address counts elements of four bytes.
"""

import operator

from llvmlite import ir

from engine.fast.codegen.constants import LANES
from engine.fast.codegen.numba_vectors import (
    F32,
    I32,
    F,
    I,
    M,
    element,
    float32,
    float64,
    fma_value,
    int32,
    int64,
    llvm_call,
    splat_value,
    taught,
    teach,
    void,
)  # fmt: skip

# What Python's operators mean for vectors. No fast-math flags: LLVM may not reorder anything.
B = ir.IRBuilder
teach(operator.add, (F, F, F, B.fadd), (I, I, I, B.add))
teach(operator.sub, (F, F, F, B.fsub), (I, I, I, B.sub))
teach(operator.mul, (F, F, F, B.fmul), (I, I, I, B.mul))
teach(operator.truediv, (F, F, F, B.fdiv))
teach(operator.lshift, (I, I, I, B.shl))
teach(operator.and_, (I, I, I, B.and_))
teach(operator.or_, (I, I, I, B.or_))
# "Ordered" comparisons are false with NaN; `select` must put NaN where it is not lost.
teach(
    operator.gt,
    (M, F, F, lambda b, x, y: b.fcmp_ordered(">", x, y)),
    (M, I, I, lambda b, x, y: b.icmp_signed(">", x, y)),
)
teach(operator.lt, (M, I, I, lambda b, x, y: b.icmp_signed("<", x, y)))


# align=4: rows begin at any number, not at whole vectors. Modern CPUs load these as fast, but where
# a load crosses a line of the cache.
def _loads(kind):
    return lambda b, address, i: b.load(element(b, address, i, kind), align=4)


def stores(b, address, i, value):
    b.store(value, element(b, address, i, value.type), align=4)


@taught((F, int64, int64, _loads(F.llvm)))
def load_f(address, i):
    """LANES float32 from element i on."""


@taught((I, int64, int64, _loads(I.llvm)))
def load_i(address, i):
    """LANES int32 from element i on."""


@taught((float32, int64, int64, _loads(F32)))
def load_float(address, i):
    """The float32 at element i."""


@taught((int32, int64, int64, _loads(I32)))
def load_int(address, i):
    """The int32 at element i."""


@taught(
    (void, int64, int64, F, stores), (void, int64, int64, I, stores),
    (void, int64, int64, float32, stores),
)  # fmt: skip
def store(address, i, value):
    """Vector or number to element i."""


@taught(
    (F, float32, splat_value),
    (F, float64, lambda b, x: splat_value(b, b.fptrunc(x, F32))),
    (I, int64, lambda b, x: splat_value(b, b.trunc(x, I32))),
)
def splat(x):
    """x in every lane."""


@taught((I, lambda b: ir.Constant(I.llvm, list(range(LANES)))))
def lane():
    """0, 1, 2, ... LANES - 1."""


@taught((F, F, F, F, fma_value))
def fma(x, y, z):
    """x y + z, rounded once; twice on a CPU that cannot."""


@taught(
    (F, F, lambda b, x: llvm_call(b, f"llvm.sqrt.v{LANES}f32", x)),
    (float32, float32, lambda b, x: llvm_call(b, "llvm.sqrt.f32", x)),
)
def sqrt(x):
    """Correctly rounded."""


@taught((F, F, lambda b, x: llvm_call(b, f"llvm.fabs.v{LANES}f32", x)))
def absolute(x):
    """|x|."""


@taught((F, M, F, F, B.select), (I, M, I, I, B.select))
def select(truth, x, y):
    """x where true, else y."""


@taught((I, F, lambda b, x: b.bitcast(x, I.llvm)))
def bits(x):
    """The 32 bits of each float32, as int32."""


@taught((F, I, lambda b, x: b.bitcast(x, F.llvm)))
def from_bits(x):
    """The float32 whose bits are those of x."""


@taught((F, I, lambda b, x: b.sitofp(x, F.llvm)))
def to_float(x):
    """int32 -> float32."""


def _folds(combine):
    """Halves are combined until one lane is left: a fixed order."""

    def emit(builder, x):
        # Not `llvm.vector.reduce.fadd`: its order may differ between CPUs, and so would the bits.
        width = LANES
        while width > 1:
            width //= 2
            kind = ir.VectorType(I32, width)
            halves = [
                builder.shuffle_vector(x, x, ir.Constant(kind, list(range(at, at + width))))
                for at in (0, width)
            ]
            x = combine(builder, *halves)
        # one lane is left
        return builder.extract_element(x, ir.Constant(I32, 0))

    return emit


def _larger(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _smaller(builder, x, y):
    return builder.select(builder.fcmp_ordered("<", x, y), x, y)


def _stores_low(width):
    """Keeps the low `width` bits of each lane; index i counts elements of that width."""

    def emit(b, address, i, value):
        # align=1, because a row of bytes may begin anywhere
        low = b.trunc(value, ir.VectorType(ir.IntType(width), LANES))
        place = b.gep(b.inttoptr(address, ir.IntType(width).as_pointer()), [i])
        b.store(low, b.bitcast(place, low.type.as_pointer()), align=1)

    return emit


@taught((void, int64, int64, I, _stores_low(16)))
def store_short(address, i, value):
    """LANES int32 as int16."""


@taught((void, int64, int64, I, _stores_low(8)))
def store_byte(address, i, value):
    """LANES int32 as 8 bits."""


def _stores_apart(b, address, i, value):
    """Two halves of LANES / 2 bytes, as far apart as both are long; index i as if they were not."""
    low = b.trunc(value, ir.VectorType(ir.IntType(8), LANES))
    place = b.gep(b.inttoptr(address, ir.IntType(8).as_pointer()), [b.shl(i, i.type(1))])
    for first in (0, LANES // 2):
        lanes = ir.Constant(ir.VectorType(I32, LANES // 2), list(range(first, first + LANES // 2)))
        half = b.shuffle_vector(low, low, lanes)
        target = b.gep(place, [i.type(2 * first)])
        b.store(half, b.bitcast(target, half.type.as_pointer()), align=1)


@taught((void, int64, int64, I, _stores_apart))
def store_byte_of_pair(address, i, value):
    """LANES int32 as 8 bits to one of two rows whose words of eight bytes take turns."""


@taught((float32, F, _folds(B.fadd)))
def total(x):
    """The sum of the lanes."""


@taught((float32, F, _folds(_larger)))
def largest(x):
    """The greatest lane."""


@taught((float32, F, _folds(_smaller)))
def smallest(x):
    """The least lane."""
