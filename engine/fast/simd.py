"""Vectors as values in numba: `x = load_f(address, i)`, `x * y + z`, `select(x > y, x, y)`.

numba knows scalars and arrays. Here it learns vectors, LANES wide: F of float32, I of int32, M of
truths; and what kernels do with them. Each function below is one or two LLVM instructions, the same
on every CPU, rounded as IEEE 754 says and never reordered: a sum has the order in which it is
written, and so the same bits wherever it is computed.

Addresses are integers, in bytes; an index beside an address counts elements of four bytes.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from engine.fast.build import LANES, TARGET

I1, I8, I32, I64, F32 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()


class VectorType(types.Type):
    """A vector of LANES elements."""

    def __init__(self, element):
        super().__init__(f"vector of {element}")
        self.llvm = ir.VectorType(element, LANES)


@register_model(VectorType)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.llvm)


F, I, M = VectorType(F32), VectorType(I32), VectorType(I1)  # noqa: E741
int64, int32, float32, float64, void = (
    types.int64, types.int32, types.float32, types.float64, types.void,
)  # fmt: skip


def teach(function, *cases_given):
    """Makes numba compile calls of `function`, for each (result, *arguments, emit).

    emit(builder, *values) adds LLVM instructions and gives the result's value.
    """

    class Template(ConcreteTemplate):
        key = function
        cases = [signature(*kinds) for *kinds, _ in cases_given]

    infer_global(function, types.Function(Template))
    for _, *kinds, emit in cases_given:
        lower_builtin(function, *kinds)(_lowered(emit))


def _lowered(emit):
    def lower(context, builder, sig, args):
        value = emit(builder, *args)
        return context.get_dummy_value() if sig.return_type == void else value

    return lower


def taught(*cases):
    """The same as a decorator, for a function of which only name and docstring matter."""
    return lambda function: teach(function, *cases) or function


B = ir.IRBuilder
teach(operator.add, (F, F, F, B.fadd), (I, I, I, B.add))
teach(operator.sub, (F, F, F, B.fsub), (I, I, I, B.sub))
teach(operator.mul, (F, F, F, B.fmul), (I, I, I, B.mul))
teach(operator.truediv, (F, F, F, B.fdiv))
teach(operator.lshift, (I, I, I, B.shl))
teach(operator.gt, (M, F, F, lambda b, x, y: b.fcmp_ordered(">", x, y)))
teach(operator.lt, (M, I, I, lambda b, x, y: b.icmp_signed("<", x, y)))


def llvm_call(builder, name, *args):
    """Calls LLVM's intrinsic `name`, whose result is of the type of its first argument."""
    kind = ir.FunctionType(args[0].type, [a.type for a in args])
    return builder.call(llvm_declared(builder, name, kind), args)


def llvm_declared(builder, name, kind):
    """The function `name` of this type, declared in the module once."""
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


def element(builder, address, index, kind):
    """Pointer to element `index` (of 4 bytes) behind `address`, as a pointer to `kind`."""
    base = builder.inttoptr(address, I32.as_pointer())
    return builder.bitcast(builder.gep(base, [index]), kind.as_pointer())


def splat_value(builder, x):
    kind = ir.VectorType(x.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _loads(kind):
    return lambda b, address, i: b.load(element(b, address, i, kind), align=4)


def _stores(b, address, i, value):
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
    (int64, int64, int64, lambda b, a, i: b.load(b.gep(b.inttoptr(a, I64.as_pointer()), [i])))
)
def load_long(address, i):
    """The int64 at element i, of 8 bytes."""


@taught(
    (void, int64, int64, F, _stores), (void, int64, int64, I, _stores),
    (void, int64, int64, float32, _stores),
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


def fma_value(b, x, y, z):
    if TARGET.fuses:
        return llvm_call(b, f"llvm.fma.v{LANES}f32", x, y, z)
    return b.fadd(b.fmul(x, y), z)


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


@taught((F, M, F, F, B.select))
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
        width = LANES
        while width > 1:
            width //= 2
            kind = ir.VectorType(I32, width)
            halves = [
                builder.shuffle_vector(x, x, ir.Constant(kind, list(range(at, at + width))))
                for at in (0, width)
            ]
            x = combine(builder, *halves)
        return builder.extract_element(x, ir.Constant(I32, 0))

    return emit


def _larger(builder, x, y):
    return builder.select(builder.fcmp_ordered(">", x, y), x, y)


def _smaller(builder, x, y):
    return builder.select(builder.fcmp_ordered("<", x, y), x, y)


def _stores_low(width):
    """Keeps the low `width` bits of each lane; index i counts elements of that width."""

    def emit(b, address, i, value):
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


def _hadamard(b, x):
    """Butterflies within the vector: lane i meets lane i ^ s, for s = 1, 2, 4, ..."""
    s = 1
    while s < LANES:
        partner = [i ^ s for i in range(LANES)]
        signs = [-1.0 if i & s else 1.0 for i in range(LANES)]
        swapped = b.shuffle_vector(x, x, ir.Constant(ir.VectorType(I32, LANES), partner))
        x = b.fadd(swapped, b.fmul(x, ir.Constant(F.llvm, signs)))
        s *= 2
    return x


@taught((F, F, _hadamard))
def hadamard_lanes(x):
    """The vector times the Hadamard matrix of order LANES (not normalised)."""


@taught((float32, F, _folds(B.fadd)))
def total(x):
    """The sum of the lanes."""


@taught((float32, F, _folds(_larger)))
def largest(x):
    """The greatest lane."""


@taught((float32, F, _folds(_smaller)))
def smallest(x):
    """The least lane."""


@taught(
    (int64, int64, lambda b, a: b.atomic_rmw("add", b.inttoptr(a, I64.as_pointer()), I64(1), "seq_cst"))
)
def take_ticket(address):
    """Adds one to the int64 there, in one step for all threads, and gives what it was."""


@taught(
    (int64, int64, lambda b, a: b.load_atomic(b.inttoptr(a, I64.as_pointer()), "seq_cst", 8))
)
def read_ticket(address):
    """The int64 there, as other threads left it."""


@taught(
    (void, int64, lambda b, f: b.call(b.inttoptr(f, ir.FunctionType(I32, []).as_pointer()), []))
)
def call(function):
    """Calls the C function at an address, without arguments."""
