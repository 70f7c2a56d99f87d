"""The inner loop of every matrix product, emitted as LLVM instructions.

A tile is the product of `m` rows of A and one panel of B: m x vectors x LANES numbers that stay in
registers while the loop walks along K. One step of the loop takes a 32-bit word from each row of A,
which is one float32, two int16 or four bytes, puts it into every lane, and multiplies it with the
same words of the panel's columns:

    float32   s += a b                      one fused multiply-add, rounded once
    int16     s += a0 b0 + a1 b1            exact in int32
    int8      s += a0 b0 + ... + a3 b3      a unsigned, b signed, exact in int32

A panel is packed so that each step reads VECTORS neighbouring vectors: word [step][column].

Each sum is one chain along K, whatever `m` is and wherever its row lies. So a row's result has the
same bits alone or among others; the rest of the engine rests on that.
"""

from llvmlite import ir

from engine.fast.build import LANES, TARGET
from engine.fast.teach import (
    F,
    I,
    element,
    fma_value,
    int64,
    llvm_call,
    llvm_declared,
    splat_value,
    teach,
    void,
)  # fmt: skip

I8, I16, I32, I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
QUADS = ir.VectorType(I8, 4 * LANES)
PAIRS = ir.VectorType(I16, 2 * LANES)


class Float32:
    """One word is one number."""

    sum, unroll = F.llvm, 1

    @staticmethod
    def step(b, sums, words, x):
        return fma_value(b, x, words, sums)


class Int16:
    """One word is two numbers. LLVM makes pmaddwd of this, vpdpwssd where there is one."""

    sum, unroll = I.llvm, 1

    @staticmethod
    def step(b, sums, words, x):
        return b.add(sums, pair_sums(b, products(b, b.bitcast(x, PAIRS), b.bitcast(words, PAIRS))))


class Int8Plain:
    """One word is four numbers; in arithmetic that every CPU has, the meaning of the others.

    Numbers 0 and 2 of a word, and 1 and 3, are pairs of 16 bits: two products as in int16.
    """

    sum, unroll = I.llvm, 1

    @staticmethod
    def step(b, sums, words, x):
        for a, w in even_and_odd(b, x, words):
            sums = b.add(sums, pair_sums(b, products(b, a, w)))
        return sums


class Int16Wide(Int16):
    """arm64: one smlal for each half of the pairs, whose sums meet at the end."""

    sum = ir.VectorType(I32, 2 * LANES)

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
        return llvm_call(b, f"llvm.x86.avx512.vpdpbusd.{32 * LANES}", sums, x, words)


class Int8Sdot(Int8Plain):
    """The same on arm64. sdot wants both signed: it gets a - 128, and 128 b is added to the sum."""

    @staticmethod
    def step(b, sums, words, x):
        a, w = (
            b.xor(b.bitcast(x, QUADS), ir.Constant(QUADS, [128] * 4 * LANES)),
            b.bitcast(words, QUADS),
        )
        return llvm_call(b, f"llvm.aarch64.neon.sdot.v{LANES}i32.v{4 * LANES}i8", sums, a, w)


class Int8Pairs(Int8Plain):
    """AVX2: `unroll` steps are summed in 16 bits, two products a sum, and then widened.

    No such sum can leave 16 bits, nor a pair of products saturate: activations are 0..127 here, and
    `quantize` chooses scales so that the weights that meet in a sum are small enough.
    """

    unroll = 2

    @staticmethod
    def step(b, sums, words, x):
        sums, short = sums if isinstance(sums, tuple) else (sums, None)
        bytes_ = ir.VectorType(I8, 4 * LANES)
        kind = ir.FunctionType(PAIRS, [bytes_, bytes_])
        multiply = llvm_declared(b, "llvm.x86.avx2.pmadd.ub.sw", kind)
        pairs = b.call(multiply, [b.bitcast(x, bytes_), b.bitcast(words, bytes_)])
        if short is None:
            return sums, pairs
        ones = ir.Constant(PAIRS, [1] * 2 * LANES)
        return b.add(sums, pair_sums(b, products(b, b.add(short, pairs), ones)))


def products(b, x, y):
    """x y in int32, for int16."""
    wide = ir.VectorType(I32, 2 * LANES)
    return b.mul(b.sext(x, wide), b.sext(y, wide))


def pair_sums(b, x):
    """x0 + x1, for each neighbouring two."""
    return b.add(every(b, x, 0, 2), every(b, x, 1, 2))


def even_and_odd(b, x, words):
    """Bytes 0 and 2 of each word, then 1 and 3, as int16: of x without sign, of the words with."""
    a, w, byte = b.bitcast(x, PAIRS), b.bitcast(words, PAIRS), ir.Constant(PAIRS, [8] * 2 * LANES)
    yield b.lshr(b.shl(a, byte), byte), b.ashr(b.shl(w, byte), byte)
    yield b.lshr(a, byte), b.ashr(w, byte)


def every(b, x, start, stride):
    """Elements start, start + stride, ... of x."""
    places = list(range(start, x.type.count, stride))
    return b.shuffle_vector(x, x, ir.Constant(ir.VectorType(I32, len(places)), places))


INT16 = {"pairs": Int16, "wide": Int16Wide}
INT8 = {
    "vnni": Int8Vnni,
    "sdot": Int8Sdot,
    "pairs": Int8Pairs,
    "plain": Int8Plain,
    "wide": Int8Wide,
}
KINDS = {
    "float32": Float32,
    "attention": Float32,
    "int16": INT16[TARGET.int16],
    "int8": INT8[TARGET.int8],
}


def tile(name):
    """A function for numba: the product of 1 to `rows` rows of A with one panel of B.

    multiply(m, a, lda, panel, steps, out, ldo): addresses, and strides in words; `out` gets m rows
    of float32 or int32, `vectors` vectors each. 1 <= m <= rows; steps a multiple of `unroll`.
    """
    kind, (rows, vectors) = KINDS[name], TARGET.tiles[name]

    def multiply(m, a, lda, panel, steps, out, ldo):
        raise NotImplementedError("compiled code only")

    def emit(b, *values):
        return b.call(_function(b.module, f"tile_{name}", kind, rows, vectors), values)

    teach(multiply, (void, *[int64] * 7, emit))
    return multiply


def _function(module, name, kind, rows, vectors):
    """The tile as a function of its own: inlined, it would share registers with its caller."""
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 7), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    m, *values = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    done = function.append_basic_block("done")
    switch = b.switch(m, done)
    for n in range(1, rows + 1):  # a loop of its own for each m
        block = function.append_basic_block(f"rows{n}")
        switch.add_case(I64(n), block)
        b.position_at_end(block)
        emit_loop(b, kind, n, vectors, *values)
        b.branch(done)
    b.position_at_end(done)
    b.ret_void()
    return function


def emit_loop(b, kind, rows, vectors, a, lda, panel, steps, out, ldo):
    """LLVM for one tile of exactly `rows` rows."""
    start, loop, end = b.block, b.append_basic_block("along_k"), b.append_basic_block("store")
    tops = [element(b, a, b.mul(lda, I64(r)), I32) for r in range(rows)]
    b.branch(loop)

    b.position_at_end(loop)
    k = b.phi(I64)
    sums = [[b.phi(kind.sum) for _ in range(vectors)] for _ in range(rows)]
    new = [list(row) for row in sums]
    vector = ir.VectorType(kind.sum.element, LANES)
    for step in range(kind.unroll):
        at = b.add(k, I64(step))
        places = [b.add(b.mul(at, I64(vectors * LANES)), I64(v * LANES)) for v in range(vectors)]
        words = [b.load(element(b, panel, place, vector), align=4) for place in places]
        for r, top in enumerate(tops):
            word = b.load(b.gep(top, [at]), align=4)
            x = splat_value(b, b.bitcast(word, vector.element))
            for v in range(vectors):
                new[r][v] = kind.step(b, new[r][v], words[v], x)
    following = b.add(k, I64(kind.unroll))
    zero = ir.Constant(kind.sum, [0] * kind.sum.count)
    for phi, first, value in [(k, I64(0), following)] + [
        (sums[r][v], zero, new[r][v]) for r in range(rows) for v in range(vectors)
    ]:
        phi.add_incoming(first, start)
        phi.add_incoming(value, loop)
    b.cbranch(b.icmp_signed("<", following, steps), loop, end)

    b.position_at_end(end)
    for r in range(rows):
        row = b.mul(ldo, I64(r))
        for v in range(vectors):
            place = element(b, out, b.add(row, I64(v * LANES)), vector)
            result = new[r][v] if kind.sum == vector else pair_sums(b, new[r][v])
            b.store(result, place, align=4)
