"""The inner loop of every matrix product, emitted as LLVM instructions.

A tile is the product of `m` rows of A and one panel of B, whose sums stay in registers while the
loop walks along K. One step of the loop takes a 32-bit word from each row of A, which is one
float32, two int16 or four bytes, puts it into every lane, and multiplies it with the same words of
the panel's columns:

    float32   s += a b                      one fused multiply-add, rounded once
    int16     s += a0 b0 + a1 b1            exact in int32
    int8      s += a0 b0 + ... + a3 b3      a unsigned, b signed, exact in int32

A panel is packed so that each step reads neighbouring registers: word [step][column].

Each sum is one chain along K, whatever `m` is and wherever its row lies. So a row's result has the
same bits alone or among others; the rest of the engine rests on that.
"""

from llvmlite import ir

from engine.fast.codegen import amx
from engine.fast.codegen.constants import REGISTER, TARGET
from engine.fast.codegen.dot_products import I32, I64, KINDS, pair_sums
from engine.fast.codegen.numba_vectors import (
    element,
    int64,
    prefetch,
    splat_value,
    teach,
    void,
)


def tile(name):
    """A function for numba: the product of 1 to `rows` rows of A with one panel of B.

    multiply(m, a, lda, panel, steps, out, ldo): addresses, and strides in words; `out` gets m rows
    of float32 or int32, `registers` registers each. 1 <= m <= rows.
    """
    # The shape decides the speed: sums fill the registers, so each word of A and B that is loaded
    # takes part in as many products as possible (Goto & van de Geijn 2008).
    kind, (rows, registers) = KINDS[name], TARGET.tiles[name]
    body = amx.emit_product if _in_tiles(name) else _loops(kind, rows, registers)

    def multiply(m, a, lda, panel, steps, out, ldo):
        raise NotImplementedError("compiled code only")

    def emit(b, *values):
        return b.call(_function(b.module, f"tile_{name}", body), values)

    teach(multiply, (void, *[int64] * 7, emit))
    return multiply


def tile_registers(name):
    """Two functions for numba: configure(m) comes before products of m rows, release() in the end.

    They do nothing but for AMX, where each takes as long as a tenth of a tile.
    """

    def configure(m):
        raise NotImplementedError("compiled code only")

    def release():
        raise NotImplementedError("compiled code only")

    def emit(method):
        return lambda b, *m: getattr(amx.Instructions(b), method)(*m) if _in_tiles(name) else None

    teach(configure, (void, int64, emit("configure")))
    teach(release, (void, emit("release")))
    return configure, release


def _in_tiles(name):
    return name == "int8" and TARGET.int8 == "amx"


def _function(module, name, body):
    """The tile as a function of its own: inlined, it would share registers with its caller."""
    if name in module.globals:
        return module.globals[name]
    # Plain integers in, nothing out: no calling convention of numba's in between.
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * 7), name)
    # numba may emit this into several modules; the linker keeps one.
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    b = ir.IRBuilder(function.append_basic_block("entry"))
    body(b, *function.args)
    b.ret_void()
    return function


def _loops(kind, rows, registers):
    """The body of a tile's function: a loop for each m."""

    # Every sum has its register for the whole loop, so the number of rows must be known when the
    # code is made: one loop for each m, and a jump to the right one.
    def body(b, m, *values):
        done = b.append_basic_block("done")
        switch = b.switch(m, done)
        for n in range(1, rows + 1):
            block = b.append_basic_block(f"rows{n}")
            switch.add_case(I64(n), block)
            b.position_at_end(block)
            emit_loop(b, kind, n, registers, *values)
            b.branch(done)
        b.position_at_end(done)

    return body


def emit_loop(b, kind, rows, registers, a, lda, panel, steps, out, ldo):
    """LLVM for one tile of exactly `rows` rows."""
    # Where each row of A begins. Its words are read in place, so A needs no packing.
    tops = [element(b, a, b.mul(lda, I64(r)), I32) for r in range(0, rows, kind.rows)]
    zero = ir.Constant(kind.sum, [0] * kind.sum.count)
    k, sums = I64(0), [[zero] * (registers * kind.rows) for _ in tops]
    if kind.rows == 2:
        steps = b.lshr(steps, I64(1))  # of two words
    for turn in dict.fromkeys((kind.turn, 1)):
        k, sums = _turns(b, kind, tops, panel, steps, turn, k, sums)
    # Results go out once, when the loops are over.
    vector = ir.VectorType(kind.sum.element, REGISTER)
    if kind.rows == 2:
        sums = [row for pair in sums for row in _rows_of_pair(b, pair)][:rows]
    for r, row_of_sums in enumerate(sums):
        row = b.mul(ldo, I64(r))
        for v, one in enumerate(row_of_sums):
            place = element(b, out, b.add(row, I64(v * REGISTER)), vector)
            b.store(one if kind.sum == vector else pair_sums(b, one), place, align=4)


def _turns(b, kind, tops, panel, steps, turn, k, sums):
    """A loop of `turn` steps a turn, from step k on, while so many are left: k and sums after."""
    start, loop, end = b.block, b.append_basic_block("along_k"), b.append_basic_block("after_k")
    values = [k, *(one for row in sums for one in row)]
    b.cbranch(_are_left(b, k, turn, steps), loop, end)

    b.position_at_end(loop)
    # A phi holds a value from one turn to the next: LLVM keeps each of these in a register.
    before = [b.phi(value.type) for value in values]
    after = [
        b.add(before[0], I64(turn)),
        *_steps(b, kind, tops, panel, turn, before[0], before[1:]),
    ]
    b.cbranch(_are_left(b, after[0], turn, steps), loop, end)

    b.position_at_end(end)
    results = [b.phi(value.type) for value in values]
    for phi, result, first, following in zip(before, results, values, after, strict=True):
        for one in (phi, result):
            one.add_incoming(first, start)
            one.add_incoming(following, loop)
    registers = len(sums[0])
    return results[0], [results[i : i + registers] for i in range(1, len(results), registers)]


def _are_left(b, k, turn, steps):
    return b.icmp_signed("<=", b.add(k, I64(turn)), steps)


def _steps(b, kind, tops, panel, turn, k, sums):
    """The sums, row by row, after `turn` steps."""
    new, registers = list(sums), len(sums) // len(tops)
    vector = ir.VectorType(kind.sum.element, REGISTER)
    several = ir.VectorType(I32, turn).as_pointer()
    rows = [b.load(b.bitcast(b.gep(top, [k]), several), align=4) for top in tops if turn > 1]
    for step in range(turn):
        at = b.add(k, I64(step))
        first = b.mul(at, I64(registers * REGISTER))
        places = [b.add(first, I64(v * REGISTER)) for v in range(registers)]
        pointers = [element(b, panel, place, vector) for place in places]
        prefetch(b, pointers[0], 4 * registers * REGISTER)
        if kind.rows == 2:
            products = _by_pair(b, tops, at, pointers)
        elif rows:
            products = _by_lane(b, rows, step, pointers)
        else:
            products = _by_word(b, tops, at, pointers)
        for r, v, word, x in products:
            new[r * registers + v] = kind.step(b, new[r * registers + v], word, x)
    return new


def _by_word(b, tops, at, pointers):
    """What a step multiplies: row, register, word of the panel, word of the row in every lane."""
    # Loads of the panel come first and are shared by all rows.
    words = [b.load(pointer, align=4) for pointer in pointers]
    for r, top in enumerate(tops):
        word = b.load(b.gep(top, [at]), align=4)
        x = splat_value(b, b.bitcast(word, words[0].type.element), REGISTER)
        yield from ((r, v, word, x) for v, word in enumerate(words))


def _by_lane(b, rows, step, pointers):
    """The same for a CPU that multiplies by one lane of a register, which holds words of a row."""
    # Words of the panel pass by one by one, each used for all rows.
    lanes = ir.Constant(ir.VectorType(I32, REGISTER), [step] * REGISTER)
    vector = pointers[0].type.pointee
    xs = [b.bitcast(b.shuffle_vector(x, x, lanes), vector) for x in rows]
    for v, pointer in enumerate(pointers):
        word = b.load(pointer, align=4)
        yield from ((r, v, word, x) for r, x in enumerate(xs))


def _by_pair(b, tops, at, pointers):
    """The same for a CPU that multiplies two rows at a time, whose words lie side by side."""
    vector, first = pointers[0].type, b.mul(at, I64(REGISTER))
    xs = [b.load(b.bitcast(b.gep(top, [first]), vector), align=4) for top in tops]
    for v, pointer in enumerate(pointers):
        word = b.load(pointer, align=4)
        yield from ((r, v, word, x) for r, x in enumerate(xs))


def _rows_of_pair(b, sums):
    """Vectors of sums, two columns of the first row and two of the second -> vectors of each."""
    for places in ((0, 1, 4, 5), (2, 3, 6, 7)):
        lanes = ir.Constant(ir.VectorType(I32, 4), list(places))
        yield [b.shuffle_vector(*two, lanes) for two in zip(sums[::2], sums[1::2], strict=True)]
