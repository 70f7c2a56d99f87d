"""Products of bytes with AMX, which multiplies whole tiles in one instruction; on Intel's servers.

A tile register holds up to 16 rows of 64 bytes. `tdpbusd` adds to a tile of sums, 16 x 16 of 32
bits, a tile of A (16 rows of 64 unsigned bytes) times a tile of a panel (16 words by 16 columns of
four signed bytes). So 16 steps of `micro_kernel` are one, and sums are the same integers.

Of the eight tile registers four hold sums, of 32 rows by 32 columns; two hold rows of A, two words
of the panel. How many rows a tile has is set before: `configuration`.
"""

from llvmlite import ir

from engine.fast.codegen.numba_vectors import (
    I8,
    I32,
    I64,
    element,
    llvm_declared,
    prefetch,
)

ROWS, WORDS = 16, 16  # of a tile: at most so many rows, of so many words
HALVES = 2  # tiles beside each other and below each other
SUMS, A, B = (0, 1, 2, 3), (4, 5), (6, 7)
COLUMNS = HALVES * WORDS


def configuration(m):
    """What `ldtilecfg` reads for m rows of A: 64 bytes."""
    # Palette 1; from byte 16 on the bytes of each tile's rows, from byte 48 on how many rows.
    halves = [max(0, min(m - first, ROWS)) for first in range(0, HALVES * ROWS, ROWS)]
    rows = {**{B[i]: WORDS for i in range(HALVES)}, **dict(zip(A, halves, strict=True))}
    rows |= {tile: halves[tile // HALVES] for tile in SUMS}
    config = bytearray(64)
    config[0] = 1
    for tile, count in rows.items():
        if count:  # a tile without rows has no columns either
            config[16 + 2 * tile], config[48 + tile] = 4 * WORDS, count
    return bytes(config)


def start(unit, halves):
    """Sums of `halves` tiles of rows: zero."""
    for tile in SUMS[: halves * HALVES]:
        unit.zero(tile)


def step(unit, halves, a, panel, k):
    """Words k to k + 15 of the rows times those of the panel, added to the sums."""
    for side in range(HALVES):
        unit.load(B[side], panel, k, side * WORDS)
    for half in range(halves):
        unit.load(A[half], a, half * ROWS, k)
        for side in range(HALVES):
            unit.multiply(SUMS[half * HALVES + side], A[half], B[side])


def finish(unit, halves, out):
    """The sums -> memory."""
    for half in range(halves):
        for side in range(HALVES):
            unit.store(SUMS[half * HALVES + side], out, half * ROWS, side * WORDS)


class Instructions:
    """Emits the instructions. A matrix is its address and the words from one row to the next."""

    def __init__(self, b):
        self.b = b

    def zero(self, tile):
        self._call("tilezero", I8(tile))

    def load(self, tile, matrix, row, column):
        self._call("tileloadd64", I8(tile), *self._place(matrix, row, column))

    def store(self, tile, matrix, row, column):
        self._call("tilestored64", I8(tile), *self._place(matrix, row, column))

    def multiply(self, sums, a, b):
        self._call("tdpbusd", I8(sums), I8(a), I8(b))

    def configure(self, m):
        """Tiles for m rows, a number that is known when the code runs."""
        table = _configurations(self.b.module)
        self._call("ldtilecfg", self.b.gep(table, [I64(0), self.b.sub(m, I64(1)), I64(0)]))

    def release(self):
        """Tiles back to nothing, which the system need not save."""
        self._call("tilerelease")

    def _place(self, matrix, row, column):
        """The address of a number and, in bytes, how far rows are apart."""
        b, (address, stride) = self.b, matrix
        row, column = (I64(x) if isinstance(x, int) else x for x in (row, column))
        place = element(b, address, b.add(b.mul(row, stride), column), I8)
        return place, b.mul(stride, I64(4))

    def _call(self, name, *values):
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        self.b.call(llvm_declared(self.b, f"llvm.x86.{name}", kind), values)


def _configurations(module):
    """The table of `configuration` for 1 to 32 rows, in the module once."""
    name = "amx_configurations"
    if name not in module.globals:
        rows = [bytearray(configuration(m)) for m in range(1, HALVES * ROWS + 1)]
        row = ir.ArrayType(I8, 64)
        kind = ir.ArrayType(row, len(rows))
        table = ir.GlobalVariable(module, kind, name)
        table.linkage, table.global_constant, table.align = "internal", True, 64
        table.initializer = ir.Constant(kind, [ir.Constant(row, one) for one in rows])
    return module.globals[name]


def emit_product(b, m, a, lda, panel, steps, out, ldo):
    """LLVM for m rows of A times one panel, as `micro_kernel.tile` says; steps a multiple of 16.

    Tiles must be configured for m rows.
    """
    unit, done = Instructions(b), b.append_basic_block("done")
    blocks = [b.append_basic_block(f"halves{n}") for n in (1, 2)]
    b.cbranch(b.icmp_signed("<=", m, I64(ROWS)), *blocks)
    for halves, block in enumerate(blocks, 1):
        b.position_at_end(block)
        start(unit, halves)
        loop, end = b.append_basic_block("along_k"), b.append_basic_block("after_k")
        b.branch(loop)
        b.position_at_end(loop)
        k = b.phi(I64)
        after = b.add(k, I64(WORDS))
        k.add_incoming(I64(0), block)
        k.add_incoming(after, loop)
        words = b.mul(k, I64(COLUMNS))
        prefetch(b, element(b, panel, words, I32), 4 * WORDS * COLUMNS)
        step(unit, halves, (a, lda), (panel, I64(COLUMNS)), k)
        b.cbranch(b.icmp_signed("<", after, steps), loop, end)
        b.position_at_end(end)
        finish(unit, halves, (out, ldo))
        b.branch(done)
    b.position_at_end(done)
