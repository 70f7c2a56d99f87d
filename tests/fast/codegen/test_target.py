"""Every kind of CPU: this host runs what it can, and for the others the assembly is read.

No such CPU is needed to know what LLVM writes for it. In the inner loops each product must be the
one instruction that the CPU has for it, and every sum must stay in a register.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.fast.codegen import target as targets
from engine.fast.codegen.target import ARM64, LANES, TARGETS, X86, able_targets, host_target
from tests.fast import assembly, fast_process, tile_ir
from tests.support import bars
from tests.support.golden import golden

Vectors = Mapping[str, NDArray[np.float32]]

CPUS = [  # target, LLVM's name of a CPU
    *((target.name, target.cpu) for target in (*X86, *ARM64)),  # what is shipped
    ("avx2", "znver3"),
    ("avx2", "haswell"),
    ("avxvnni", "alderlake"),
    ("avx512", "skylake-avx512"),
    ("avx512vnni", "icelake-server"),
    ("avx512vnni", "znver4"),
    ("avx512vnni", "sapphirerapids"),
    ("amx", "sapphirerapids"),
    ("neon", "cortex-a72"),
    ("dotprod", "neoverse-n1"),
    ("dotprod", "apple-m1"),
    ("i8mm", "neoverse-v1"),
    ("i8mm", "neoverse-n2"),
    ("i8mm", "apple-m2"),
]


@dataclass(frozen=True)
class Product:
    """Instructions that may compute a product, how many a word, and steps of the longest loop."""

    names: tuple[str, ...]
    each: int = 1
    first_mostly: bool = False
    turn: int = 1


TILES = [
    (target, cpu, kind)
    for target, cpu in CPUS
    for kind in TARGETS[target].tiles
    if (target, kind) != ("amx", "int8")  # see `test_amx`
]
PRODUCT_OF = {"attention": "float32", "attention_int16": "int16", "attention_int8": "int8"}

FMLA, SMLAL = Product(("fmla 4s",), turn=4), ("smlal 4h", "smlal2 8h")
SDOT = Product(("sdot 4b", "sdot 16b"), turn=4)
FMA_YMM, FMA_ZMM = Product(("vfmaddps ymm",)), Product(("vfmaddps zmm",))
PRODUCTS: dict[str, dict[str, Product]] = {
    "sse2": {
        "float32": Product(("mulps xmm",)),
        "int16": Product(("pmaddwd xmm",)),
        "int8": Product(("pmaddwd xmm",), 2),
    },
    "avx2": {
        "float32": FMA_YMM,
        "int16": Product(("vpmaddwd ymm",)),
        "int8": Product(("vpmaddubsw ymm",)),
    },
    "avxvnni": {
        "float32": FMA_YMM,
        "int16": Product(("vpdpwssd ymm", "vpmaddwd ymm"), first_mostly=True),
        "int8": Product(("vpdpbusd ymm",)),
    },
    "avx512": {
        "float32": FMA_ZMM,
        "int16": Product(("vpmaddwd zmm",)),
        "int8": Product(("vpmaddwd zmm",), 2),
    },
    "avx512vnni": {
        "float32": FMA_ZMM,
        "int16": Product(("vpdpwssd zmm", "vpmaddwd zmm"), first_mostly=True),
        "int8": Product(("vpdpbusd zmm",)),
    },
    "neon": {"float32": FMLA, "int16": Product(SMLAL, 2), "int8": Product(SMLAL, 4)},
    "dotprod": {"float32": FMLA, "int16": Product(SMLAL, 2), "int8": SDOT},
    "i8mm": {
        "float32": FMLA,
        "int16": Product(SMLAL, 2),
        "int8": Product(("smmla 16b",)),
        "attention_int8": SDOT,
    },
}
PRODUCTS["amx"] = PRODUCTS["avx512vnni"]


@pytest.mark.parametrize(("target", "cpu", "kind"), TILES)
def test_products_are_the_instruction_made_for_them(target: str, cpu: str, kind: str) -> None:
    products = PRODUCTS[target]
    product = products.get(kind) or products[PRODUCT_OF[kind]]
    rows, vectors = TARGETS[target].tiles[kind]
    counts = []
    for loop in assembly.loops(tile_ir.assembly(target, cpu), f"tile_{kind}"):
        first, *others = (loop.operations[name] for name in product.names)
        assert first >= 2 * sum(others) or not product.first_mostly
        counts.append(first + sum(others))
    assert len(counts) >= rows and min(counts) > 0
    for turn in {1, product.turn}:
        assert rows * vectors * product.each * turn in counts  # the whole tile is one loop


SPILLING = [("sse2", "x86-64", "int8")]  # `target.SSE2` says why


@pytest.mark.parametrize(("target", "cpu", "kind"), [one for one in TILES if one not in SPILLING])
def test_no_loop_spills(target: str, cpu: str, kind: str) -> None:
    found = assembly.loops(tile_ir.assembly(target, cpu), f"tile_{kind}")
    assert found
    assert [loop.spills for loop in found] == [[]] * len(found)


def test_a_spill_would_be_seen() -> None:
    text = (
        "tile:\n.LBB0_1:\n\tvmovdqu\t%ymm1, 32(%rsp)  # 32-byte Spill\n"
        "\t{vex}\tvpdpbusd\t(%rax), %ymm0, %ymm1\n\tjne\t.LBB0_1\n\tretq\n.Lfunc_end0:\n"
    )
    (loop,) = assembly.loops(text, "tile")
    assert loop.spills == ["vmovdqu\t%ymm1, 32(%rsp)"]
    assert loop.operations == {"vmovdqu ymm": 1, "vpdpbusd ymm": 1, "jne": 1}


# What this host runs.

HOST = [target.name for target in able_targets() if target in X86]
SAMPLE = slice(0, 200, 1)  # the bars are for all 200
PRECISIONS = ("float32", "int16", "int8")
PYTEST = "import pytest, sys; sys.exit(pytest.main(['-p', 'no:cacheprovider', *sys.argv[1:]]))"
ENCODE = """
import sys, numpy, engine
from tests.support import checkpoints
from tests.support.golden import golden
start, stop, step = map(int, sys.argv[2:])
vectors = {}
for checkpoint in ("tiny", "minilm"):
    for precision in ("float32", "int16", "int8"):
        with engine.load(checkpoints.FOLDERS[checkpoint](), precision=precision, threads=2) as one:
            texts = golden(checkpoint).texts[start:stop:step]
            vectors[f"{checkpoint} {precision}"] = one.encode(texts, on_truncate="ignore")
numpy.savez(sys.argv[1], **vectors)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("targets")


@cache
def vectors(target: str, folder: Path) -> Vectors:
    """What the kernels of a target give, in a process that takes this CPU for one of its kind."""
    path = folder / f"{target}.npz"
    start, stop, step = SAMPLE.start, SAMPLE.stop, SAMPLE.step
    fast_process.run(ENCODE, path, start, stop, step, BGE_TARGET=target)
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("checkpoint", "precision"),
    [(c, p) for c, p in bars.cases(bars.UNIT) if c != "bge_shape" and p in PRECISIONS],
)
@pytest.mark.parametrize("target", HOST)
def test_every_kind_of_cpu_is_right(
    target: str, checkpoint: str, precision: str, folder: Path
) -> None:
    got = vectors(target, folder)[f"{checkpoint} {precision}"]
    bar = bars.UNIT[precision][checkpoint]
    bar.hold(got, golden(checkpoint).vectors["mean"][SAMPLE])


@pytest.mark.parametrize("target", [name for name in HOST if name != host_target().name])
def test_every_kind_of_cpu_passes_the_tests_of_the_compiled_functions(target: str) -> None:
    names = (
        "codegen/test_simd", "codegen/test_shuffles", "codegen/test_dot_products",
        "codegen/test_micro_kernel", "test_kernels", "test_integers", "test_overflow",
    )  # fmt: skip
    files = [f"tests/fast/{name}.py" for name in names]
    fast_process.run(PYTEST, *files, BGE_TARGET=target)


@pytest.mark.parametrize(
    ("able", "advised"),
    [(["sse2"], True), (["avx2", "sse2"], False), (["neon"], False), ([], False)],
)
def test_advice_is_for_a_cpu_that_hides_avx2(
    able: list[str], advised: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "able_targets", lambda: [TARGETS[name] for name in able])
    monkeypatch.setenv("BGE_TARGET", "sse2")  # what is asked for is nothing to advise about
    assert bool(targets.advice()) == advised


def test_vectors_are_whole_in_every_panel() -> None:
    for target in TARGETS.values():
        assert {target.panel(product) % LANES for product in target.tiles} == {0}


FUSING = [name for name in HOST if TARGETS[name].fuses]
# "pairs" has levels of its own in int8, and so other vectors.
LEVELS_255 = [name for name in FUSING if not TARGETS[name].sums_pairs]
ALIKE = {"float32": FUSING, "int16": FUSING, "int8": LEVELS_255}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("checkpoint", ["tiny", "minilm"])
def test_every_kind_of_cpu_gives_the_same_bits(
    precision: str, checkpoint: str, folder: Path
) -> None:
    name = f"{checkpoint} {precision}"
    one, *others = (vectors(target, folder)[name] for target in ALIKE[precision])
    for other in others:
        bars.Largest(0).hold(other, one)
