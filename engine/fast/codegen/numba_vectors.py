"""Teaches numba vectors, and functions that are LLVM instructions.

numba knows scalars and arrays. Here it learns vectors, LANES wide: F of float32, I of int32 and M
of truths; and `teach` says which instructions a function is made of. Where registers are narrower,
LLVM keeps a vector in several.
"""

from llvmlite import binding, ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

from engine.fast.codegen.constants import LANES, TARGET

AHEAD = 4096  # bytes
I1, I8, I32, I64, F32 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()


# numba has no vectors as values. A type of its own, held as one LLVM vector, keeps a whole vector
# in registers from load to store.
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

    # Two things numba must know: which result type each call has (typing), and which instructions
    # it becomes (lowering).
    class Template(ConcreteTemplate):
        key = function
        cases = tuple(signature(*kinds) for *kinds, _ in cases_given)

    # From here on numba accepts calls of the function in compiled code.
    infer_global(function, types.Function(Template))
    for _, *kinds, emit in cases_given:
        lower_builtin(function, *kinds)(_lowered(emit))


def _lowered(emit):
    def lower(context, builder, sig, args):
        value = emit(builder, *args)
        # Python's None, where the function returns nothing
        return context.get_dummy_value() if sig.return_type == void else value

    return lower


def taught(*cases):
    """The same as a decorator, for a function of which only name and docstring matter."""
    return lambda function: teach(function, *cases) or function


def llvm_call(builder, name, *args):
    """Calls LLVM's intrinsic `name`, whose result is of the type of its first argument."""
    kind = ir.FunctionType(args[0].type, [a.type for a in args])
    return builder.call(llvm_declared(builder, name, kind), args)


# numba generates code for this machine while it compiles, whatever the target is. Where the target
# is another architecture's, that code is never called, so it need not be right: what only such CPUs
# have becomes a call of nothing, under a name that `without_stand_ins` replaces at the end.
FOREIGN, STAND_IN = f"llvm.{TARGET.architecture.removesuffix('_64')}.", "foreign."


def without_stand_ins(text):
    """LLVM's language for the target."""
    return text.replace(STAND_IN, FOREIGN)


def llvm_declared(builder, name, kind):
    """The function `name` of this type, declared in the module once."""
    if TARGET.is_foreign and name.startswith(FOREIGN):
        name = name.replace(FOREIGN, STAND_IN)
        binding.add_symbol(name, 1)
    # LLVM refuses a second declaration of a name.
    return builder.module.globals.get(name) or ir.Function(builder.module, kind, name)


def element(builder, address, index, kind):
    """Pointer to element `index` (of 4 bytes) behind `address`, as a pointer to `kind`."""
    # int32 pointers, whatever the elements are: all elements have four bytes
    base = builder.inttoptr(address, I32.as_pointer())
    return builder.bitcast(builder.gep(base, [index]), kind.as_pointer())


def splat_value(builder, x, count=LANES):
    kind = ir.VectorType(x.type, count)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(I32, 0))
    # LLVM makes a broadcast of "lane 0 everywhere".
    zeros = ir.Constant(ir.VectorType(I32, count), [0] * count)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def fma_value(b, x, y, z):
    """x y + z, rounded once where the CPU can."""
    # Without the instruction, llvm.fma would call a slow function of the C library.
    if TARGET.fuses:
        return llvm_call(b, f"llvm.fma.v{x.type.count}f32", x, y, z)
    return b.fadd(b.fmul(x, y), z)


def prefetch(b, pointer, size):
    """Calls for `size` bytes of the panel that are needed AHEAD bytes later.

    With few tokens a product is as fast as weights come from memory. CPUs look ahead by themselves,
    but not far, nor past the end of a page: this doubles what one core reads.
    """
    # One prefetch for each line of the cache; locality 3 keeps it in all levels.
    address = b.bitcast(pointer, I8.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [address.type, I32, I32, I32])
    function = llvm_declared(b, "llvm.prefetch.p0", kind)
    for line in range(0, size, 64):
        b.call(function, [b.gep(address, [I64(AHEAD + line)]), I32(0), I32(3), I32(1)])
