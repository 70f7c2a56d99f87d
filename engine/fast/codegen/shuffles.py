"""Numbers that change places between the lanes of vectors; as in `simd`, on every CPU the same."""

from llvmlite import ir

from engine.fast.codegen.constants import LANES, REGISTER
from engine.fast.codegen.numba_vectors import (
    I32,
    I64,
    F,
    element,
    fma_value,
    int64,
    taught,
    void,
)
from engine.fast.codegen.simd import stores


def _hadamard(b, x):
    """Butterflies within the vector: lane i meets lane i ^ s, for s = 1, 2, 4, ..."""
    s = 1
    while s < LANES:
        # Lanes whose number has the bit s get x[i ^ s] - x[i], the others x[i] + x[i ^ s].
        partner = [i ^ s for i in range(LANES)]
        signs = [-1.0 if i & s else 1.0 for i in range(LANES)]
        swapped = b.shuffle_vector(x, x, ir.Constant(ir.VectorType(I32, LANES), partner))
        x = fma_value(b, x, ir.Constant(F.llvm, signs), swapped)
        s *= 2
    return x


@taught((F, F, _hadamard))
def hadamard_lanes(x):
    """The vector times the Hadamard matrix of order LANES (not normalised)."""


def _transposes(b, source, stride, count, out, ldo):
    """Block by block of as many rows and columns as a register has lanes."""
    ends = b.sub(count, I64(1))
    places = [b.select(b.icmp_signed("<", I64(r), count), I64(r), ends) for r in range(LANES)]
    rows = [b.mul(place, stride) for place in places]
    for top in range(0, LANES, REGISTER):
        for left in range(0, LANES, REGISTER):
            block = [b.add(row, I64(left)) for row in rows[top : top + REGISTER]]
            for c, column in enumerate(_transposed_block(b, source, block)):
                stores(b, out, b.add(b.mul(ldo, I64(left + c)), I64(top)), column)


def _transposed_block(b, source, places):
    """Swaps blocks of s x s words on either side of the diagonal, for s = 1, 2, 4, ..."""
    kind = ir.VectorType(I32, REGISTER)
    rows = [b.load(element(b, source, place, kind), align=4) for place in places]
    s = 1
    while s < REGISTER:
        # Lanes are numbered through both rows: i of the first, REGISTER + i of the second.
        upper = [REGISTER + i - s if i & s else i for i in range(REGISTER)]
        lower = [REGISTER + i if i & s else i + s for i in range(REGISTER)]
        for r in (r for r in range(REGISTER) if not r & s):
            first, second = rows[r], rows[r + s]
            for at, lanes in ((r, upper), (r + s, lower)):
                rows[at] = b.shuffle_vector(first, second, ir.Constant(kind, lanes))
        s *= 2
    return rows


@taught((void, *[int64] * 5, _transposes))
def transpose(source, stride, count, out, ldo):
    """LANES x LANES words: column r of the source becomes row r of `out`; rows `stride` and `ldo`
    words apart. Of fewer than LANES rows, `count`, the last one is repeated."""
