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

from engine.fast.codegen.constants import LANES, TARGET
from engine.fast.codegen.dot_products import I8, I32, I64, KINDS, pair_sums
from engine.fast.codegen.numba_vectors import (
    element,
    int64,
    llvm_declared,
    splat_value,
    teach,
    void,
)

AHEAD = 4096  # bytes


def tile(name):
    """A function for numba: the product of 1 to `rows` rows of A with one panel of B.

    multiply(m, a, lda, panel, steps, out, ldo): addresses, and strides in words; `out` gets m rows
    of float32 or int32, `vectors` vectors each. 1 <= m <= rows; steps a multiple of `unroll`.
    """
    # The shape decides the speed: sums fill the registers, so each word of A and B that is loaded
    # takes part in as many products as possible (Goto & van de Geijn 2008).
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
    # Plain integers in, nothing out: no calling convention of numba's in between.
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 7), name)
    # numba may emit this into several modules; the linker keeps one.
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    # Every sum has its register for the whole loop, so the number of rows must be known when the
    # code is made: one loop for each m, and a jump to the right one.
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


def _carry(phi, first, following):
    """Gives a phi its value before the loop and its value of the turn before."""
    phi.add_incoming(*first)
    phi.add_incoming(*following)


def emit_loop(b, kind, rows, vectors, a, lda, panel, steps, out, ldo):
    """LLVM for one tile of exactly `rows` rows; steps > 0."""
    start, loop, end = b.block, b.append_basic_block("along_k"), b.append_basic_block("store")
    # Where each row of A begins. Its words are read one at a time, so A needs no packing.
    tops = [element(b, a, b.mul(lda, I64(r)), I32) for r in range(rows)]
    b.branch(loop)

    b.position_at_end(loop)
    # A phi holds a value from one turn to the next: LLVM keeps each of these in a register.
    k = b.phi(I64)
    sums = [[b.phi(kind.sum) for _ in range(vectors)] for _ in range(rows)]
    new = [list(row) for row in sums]
    vector = ir.VectorType(kind.sum.element, LANES)
    # Loads of the panel come first and are shared by all rows; then, row by row, one word of A is
    # put into every lane and multiplied with all of them.
    for step in range(kind.unroll):
        at = b.add(k, I64(step))
        places = [b.add(b.mul(at, I64(vectors * LANES)), I64(v * LANES)) for v in range(vectors)]
        words = [b.load(element(b, panel, place, vector), align=4) for place in places]
        prefetch(b, words[0].operands[0], 4 * vectors * LANES)
        for r, top in enumerate(tops):
            word = b.load(b.gep(top, [at]), align=4)
            x = splat_value(b, b.bitcast(word, vector.element))
            for v in range(vectors):
                new[r][v] = kind.step(b, new[r][v], words[v], x)
    following = b.add(k, I64(kind.unroll))
    zero = ir.Constant(kind.sum, [0] * kind.sum.count)
    _carry(k, (I64(0), start), (following, loop))
    for r in range(rows):
        for v in range(vectors):
            _carry(sums[r][v], (zero, start), (new[r][v], loop))
    b.cbranch(b.icmp_signed("<", following, steps), loop, end)

    b.position_at_end(end)
    # Results go out once, when the loop is over.
    for r, row_of_sums in enumerate(new):
        row = b.mul(ldo, I64(r))
        for v, one in enumerate(row_of_sums):
            place = element(b, out, b.add(row, I64(v * LANES)), vector)
            b.store(one if kind.sum == vector else pair_sums(b, one), place, align=4)
