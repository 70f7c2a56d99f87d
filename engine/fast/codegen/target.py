"""The kinds of CPU that kernels are compiled for, and the shape of a tile on each.

A tile is what the inner loop of a matrix product keeps in registers: `rows` tokens by so many
registers of output columns, which are whole vectors. All registers but a few hold sums, so a tile's
shape follows from their number, 16 or 32; bench/ladder.py measures candidates.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import EngineError, InputError
from engine.system import cpu

# A vector in the source of the kernels: numbers of 32 bits. It is the same on every CPU, and so are
# the order of every sum and the bits of its result; LLVM cuts it into the registers that there are.
LANES = 16

Tiles = Mapping[str, tuple[int, int]]  # kind of product -> (rows, registers)

PAIR_LEVELS = 200  # `levels` of "pairs"; `engine.fast.weights.quantize` says why


@dataclass(frozen=True)
class Target:
    """`register` float32 numbers fit a vector register. A CPU must have what LLVM calls `needs`.

    `cpu` and `features` are what LLVM generates code for: never more than `needs`, so that the same
    code serves every CPU of the kind. `int8` and `int16` name inner steps of products, classes of
    `dot_products`. For 8 bits "vnni" and "sdot" are one instruction, "smmla" is one for two rows,
    "amx" one for a whole tile; "pairs" is AVX2's way with 16-bit sums, "plain" is arithmetic that
    every CPU has, "wide" is how arm64 likes either.
    """

    name: str
    cpu: str
    features: str
    needs: tuple[str, ...]
    register: int
    int8: str
    tiles: Tiles
    int16: str = "pairs"
    fuses: bool = True  # has a fused multiply-add

    def panel(self, product: str) -> int:
        """Columns of a panel: those of one tile."""
        return self.tiles[product][1] * self.register

    def run(self, product: str) -> int:
        """Numbers of a row that a product reads at once."""
        return 64 if product == "int8" and self.int8 == "amx" else LANES

    @property
    def architecture(self) -> str:
        """LLVM's name of it."""
        return "aarch64" if self in ARM64 else "x86_64"

    @property
    def is_foreign(self) -> bool:
        """Whether this process's architecture is another one."""
        return self.architecture != cpu.architecture()

    @property
    def by_lane(self) -> bool:
        """Whether one lane of a register is multiplied with all of another, as on arm64."""
        return self in ARM64

    @property
    def sums_pairs(self) -> bool:
        """Whether int8 products meet in 16-bit sums, which may not overflow."""
        return self.int8 == "pairs"

    @property
    def levels(self) -> int:
        """The largest integer of an activation in int8; the smallest is 0."""
        return PAIR_LEVELS if self.sums_pairs else 255

    @property
    def offset(self) -> int:
        """What is subtracted from an activation in int8: arm64 wants it signed."""
        return 128 if self.int8 in ("sdot", "smmla") else 0

    @property
    def pairs_rows(self) -> bool:
        """Whether the rows of int8's products are stored in pairs: eight bytes of each in turns."""
        return self.int8 == "smmla"


# 32 registers: 9 x 3 sums leave 5 for words of the panel and of the row. A head has few columns, so
# attention's tile is narrower.
HEADS = {"attention": (8, 2), "attention_int16": (8, 2)}
WIDE = {**HEADS, "float32": (9, 3), "int16": (9, 3), "int8": (9, 3)}
ALL = ("attention", "attention_int16", "float32", "int16", "int8")
# Registers of 4 numbers: 5 x 4 sums, and words of rows that are multiplied lane by lane. In "wide"
# a sum takes two registers.
ARM = {**dict.fromkeys(ALL, (2, 4)), "attention": (5, 4), "float32": (5, 4)}
# 16 registers: 6 x 2 sums leave 4
NARROW = dict.fromkeys(ALL, (6, 2))
# Whole vectors are 4 of them here; int8 spills, and is faster than the tile that does not, (1, 4).
SSE2 = dict.fromkeys(ALL, (2, 4))
# Where one instruction multiplies four bytes, attention's queries and keys may be bytes too.
WIDE_VNNI = {**WIDE, "attention_int8": (8, 2)}
AMX = {**WIDE_VNNI, "int8": (32, 2)}  # four tile registers of sums
NARROW_VNNI = {**NARROW, "attention_int8": (6, 2)}
ARM_SDOT = {**ARM, "int8": (5, 4), "attention_int8": (5, 4)}
ARM_SMMLA = {**ARM_SDOT, "int8": (6, 4)}

# What the x86-64 microarchitecture levels v3 and v4 have, in LLVM's names.
V3 = ("avx2", "fma", "bmi", "bmi2", "lzcnt", "movbe", "f16c")
V4 = (*V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
# fast-dpwssd is no feature: LLVM's leave to write vpdpwssd for vpmaddwd and vpaddd
VNNI512, VNNI256 = "+avx512vnni,+fast-dpwssd", "+avxvnni,+fast-dpwssd"
WITH_AMX = f"{VNNI512},+amx-tile,+amx-int8"

# int8 of "avx512" and of "avx2" needs registers for the parts of a word, so its tiles are smaller.
X86 = (  # best first
    Target("amx", "x86-64-v4", WITH_AMX, (*V4, "avx512vnni", "amx-int8"), 16, "amx", AMX),
    Target("avx512vnni", "x86-64-v4", VNNI512, (*V4, "avx512vnni"), 16, "vnni", WIDE_VNNI),
    Target("avx512", "x86-64-v4", "", V4, 16, "plain", {**WIDE, "int8": (7, 3)}),
    Target("avxvnni", "x86-64-v3", VNNI256, (*V3, "avxvnni"), 8, "vnni", NARROW_VNNI),
    Target("avx2", "x86-64-v3", "", V3, 8, "pairs", {**NARROW, "int8": (5, 2)}),
    Target("sse2", "x86-64", "", ("sse2",), 4, "plain", SSE2, fuses=False),
)
ARM64 = (
    Target(
        "i8mm",
        "generic",
        "+dotprod,+i8mm",
        ("neon", "dotprod", "i8mm"),
        4,
        "smmla",
        ARM_SMMLA,
        "wide",
    ),
    Target("dotprod", "generic", "+dotprod", ("neon", "dotprod"), 4, "sdot", ARM_SDOT, "wide"),
    Target("neon", "generic", "", ("neon",), 4, "wide", ARM, "wide"),
)
TARGETS = {target.name: target for target in (*X86, *ARM64)}


def able_targets() -> list[Target]:
    """The targets that this CPU can run, best first; none on a kind of CPU that nobody tried."""
    kinds = {"x86_64": X86, "aarch64": ARM64}.get(cpu.architecture(), ())
    features = cpu.features()
    return [target for target in kinds if features.issuperset(target.needs)]


def named_target(name: str | None) -> Target:
    """The target of this name, whether this CPU can run it or not; None means `host_target`."""
    if name is None:
        return host_target()
    if name not in TARGETS:
        raise InputError(f"target is {name!r}; it must be one of {', '.join(TARGETS)}.")
    return TARGETS[name]


def advice() -> str:
    """What to do about a CPU that shows less than its kind has; nothing if it does not."""
    if [target.name for target in able_targets()] != ["sse2"]:
        return ""
    return (
        "no AVX2 and FMA are visible here, which x86-64 CPUs have had since 2015: a virtual "
        "machine may hide them (QEMU shows them with -cpu host)"
    )


def host_target() -> Target:
    """The best target that this CPU can run; $BGE_TARGET asks for a lesser one."""
    able, wanted = able_targets(), os.environ.get("BGE_TARGET")
    # A lesser target can be asked for, to test it or to compare; never one that would crash.
    for target in able:
        if wanted in (None, "", target.name):
            return target
    names = ", ".join(target.name for target in able)
    if wanted and able:
        raise InputError(f"BGE_TARGET is {wanted!r}; this CPU runs {names}.")
    raise EngineError(
        "there are no kernels for this kind of CPU (x86-64 and arm64 have them); "
        'precision="reference" computes without.'
    )
