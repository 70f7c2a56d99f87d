"""One step of a product's inner loop: a word of each row times the words of a panel, added to sums.

How on each kind of CPU, for numbers of each kind; `micro_kernel` makes loops of them. `turn` says
how many steps are a turn of the loop, `sum` in what vector sums are kept, and `rows` for how many
rows a vector of sums is.
"""

from llvmlite import ir

from engine.fast.codegen.constants import REGISTER, TARGET
from engine.fast.codegen.numba_vectors import F32, fma_value, llvm_call, llvm_declared

I8, I16, I32, I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
# A word, 32 bits, holds two 16-bit numbers or four bytes. Vectors of words are cast to these where
# an instruction wants their parts.
WORDS = ir.VectorType(I32, REGISTER)
QUADS = ir.VectorType(I8, 4 * REGISTER)
PAIRS = ir.VectorType(I16, 2 * REGISTER)


class Float32:
    """One word is one number."""

    sum, turn, rows = ir.VectorType(F32, REGISTER), 4 if TARGET.by_lane else 1, 1

    @staticmethod
    def step(b, sums, words, x):
        # x first: LLVM may then read it from memory and put it into all lanes in one instruction
        return fma_value(b, x, words, sums)


class Int16:
    """One word is two numbers. LLVM makes pmaddwd of this, vpdpwssd where there is one."""

    sum, turn, rows = WORDS, 1, 1

    @staticmethod
    def step(b, sums, words, x):
        return b.add(sums, pair_sums(b, products(b, b.bitcast(x, PAIRS), b.bitcast(words, PAIRS))))


class Int8Plain:
    """One word is four numbers; in arithmetic that every CPU has, the meaning of the others.

    Numbers 0 and 2 of a word, and 1 and 3, are pairs of 16 bits: two products as in int16.
    """

    sum, turn, rows = WORDS, 1, 1

    @staticmethod
    def step(b, sums, words, x):
        for a, w in even_and_odd(b, x, words):
            sums = b.add(sums, pair_sums(b, products(b, a, w)))
        return sums


class Int16Wide(Int16):
    """arm64: one smlal for each half of the pairs, whose sums meet at the end."""

    sum = ir.VectorType(I32, 2 * REGISTER)

    @staticmethod
    def step(b, sums, words, x):
        return b.add(sums, products(b, b.bitcast(x, PAIRS), b.bitcast(words, PAIRS)))


class Int8Wide(Int8Plain):
    """The same for four numbers."""

    sum = Int16Wide.sum

    @staticmethod
    def step(b, sums, words, x):
        for a, w in even_and_odd(b, x, words):
            sums = b.add(sums, products(b, a, w))
        return sums


class Int8Vnni(Int8Plain):
    """The same in one instruction, vpdpbusd."""

    @staticmethod
    def step(b, sums, words, x):
        return llvm_call(b, f"llvm.x86.avx512.vpdpbusd.{32 * REGISTER}", sums, x, words)


class Int8Sdot(Int8Plain):
    """The same on arm64, with a - 128 in the place of a: sdot wants both signed.

    What is missing, 128 b, is added to the sums at the end (`integers.int8_numbers`).
    """

    turn = 4

    @staticmethod
    def step(b, sums, words, x):
        a, w = b.bitcast(x, QUADS), b.bitcast(words, QUADS)
        name = f"llvm.aarch64.neon.sdot.v{REGISTER}i32.v{4 * REGISTER}i8"
        return llvm_call(b, name, sums, w, a)


class Int8Smmla(Int8Sdot):
    """Twice as much in one instruction: eight numbers of two rows times those of two columns.

    Words are of eight bytes, and rows are stored in pairs, word beside word.
    """

    turn, rows = 1, 2

    @staticmethod
    def step(b, sums, words, x):
        a, w = b.bitcast(x, QUADS), b.bitcast(words, QUADS)
        return llvm_call(b, "llvm.aarch64.neon.smmla.v4i32.v16i8", sums, a, w)


class Int8Pairs(Int8Plain):
    """AVX2: two products summed in 16 bits by vpmaddubsw, two such sums in 32 bits by vpmaddwd.

    The first would saturate where two large weights of one sign meet two large activations:
    `quantize` chooses scales so that they never do.
    """

    @staticmethod
    def step(b, sums, words, x):
        bytes_ = ir.VectorType(I8, 4 * REGISTER)
        kind = ir.FunctionType(PAIRS, [bytes_, bytes_])
        multiply = llvm_declared(b, "llvm.x86.avx2.pmadd.ub.sw", kind)
        pairs = b.call(multiply, [b.bitcast(x, bytes_), b.bitcast(words, bytes_)])
        # vpmaddwd with ones widens and adds neighbours, which AVX2 has no other instruction for.
        ones = ir.Constant(PAIRS, [1] * 2 * REGISTER)
        return b.add(sums, pair_sums(b, products(b, pairs, ones)))


def products(b, x, y):
    """x y in int32, for int16."""
    # LLVM recognises sign extension, product and the sum of neighbours, and makes pmaddwd of them.
    wide = ir.VectorType(I32, 2 * REGISTER)
    return b.mul(b.sext(x, wide), b.sext(y, wide))


def pair_sums(b, x):
    """x0 + x1, for each neighbouring two."""
    return b.add(every(b, x, 0, 2), every(b, x, 1, 2))


def even_and_odd(b, x, words):
    """Bytes 0 and 2 of each word, then 1 and 3, as int16: of x without sign, of the words with."""
    # By shifts, because SSE2 has no instruction that widens bytes. Left and back clears or extends
    # the upper byte, right brings it down: logical for activations, arithmetic for signed weights.
    a, w = b.bitcast(x, PAIRS), b.bitcast(words, PAIRS)
    byte = ir.Constant(PAIRS, [8] * PAIRS.count)
    yield b.lshr(b.shl(a, byte), byte), b.ashr(b.shl(w, byte), byte)
    yield b.lshr(a, byte), b.ashr(w, byte)


def every(b, x, start, stride):
    """Elements start, start + stride, ... of x."""
    places = list(range(start, x.type.count, stride))
    return b.shuffle_vector(x, x, ir.Constant(ir.VectorType(I32, len(places)), places))


def swapped(kind):
    """The same with signed words of the rows, and words of the panel without sign."""

    class Swapped(kind):
        @staticmethod
        def step(b, sums, words, x):
            return kind.step(b, sums, x, words)

    return Swapped


# By the names that a Target gives.
INT16 = {"pairs": Int16, "wide": Int16Wide}
INT8 = {
    "vnni": Int8Vnni,
    "amx": Int8Vnni,  # what `amx` computes in tiles
    "sdot": Int8Sdot,
    "smmla": Int8Smmla,
    "pairs": Int8Pairs,
    "plain": Int8Plain,
    "wide": Int8Wide,
}
KINDS = {
    "float32": Float32,
    "attention": Float32,
    "attention_int16": INT16[TARGET.int16],
    # sdot wants both signed, so no side is special
    "attention_int8": Int8Sdot if TARGET.offset else swapped(INT8[TARGET.int8]),
    "int16": INT16[TARGET.int16],
    "int8": INT8[TARGET.int8],
}
