"""Measures the peak rates of this machine: multiply-adds per second and bytes per second.

The loops are written in LLVM IR and compiled for the local CPU. Arithmetic: many independent chains
of one instruction, all in registers. Memory: loads from an array that is larger than the caches.
Each thread calls its loop through ctypes, which releases the interpreter's lock.
"""

import ctypes
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import llvmlite.binding as llvm
import numpy as np

ITERATIONS = 200_000
MEMORY = 1 << 28  # bytes
TRIES = 7

LOOP = """
{declare}
define void @loop(i64 %count, ptr %data) {{
entry:
  %x = load {vector}, ptr %data, align 4
  br label %again
again:
  %i = phi i64 [0, %entry], [%next, %again]
{phis}
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %again, label %done
done:
{stores}
  ret void
}}
"""


@dataclass(frozen=True)
class Step:
    """One instruction of a chain. It computes {new} from {old} and %x.

    n: lanes of type `element`. v: the vector type of n lanes. work: multiply-adds, or bytes, per
    instruction and lane.
    """

    element: str
    work: int
    text: str
    declare: str = ""
    feature: str = ""


FMA = Step(
    "float",
    1,
    "{new} = call {v} @llvm.fma.v{n}f32({v} %x, {v} %x, {v} {old})",
    "declare {v} @llvm.fma.v{n}f32({v}, {v}, {v})",
)
LOAD = Step(
    "float",
    4,
    "%p{k} = getelementptr {v}, ptr %data, i64 %i{k}\n"
    "%q{k} = load {v}, ptr %p{k}, align 4\n"
    "{new} = fadd {v} %q{k}, {old}",
)


def vnni(name: str, pairs: int) -> Step:
    return Step(
        "i32",
        pairs,
        f"{{new}} = call {{v}} @llvm.x86.avx512.{name}.{{bits}}({{v}} {{old}}, {{v}} %x, {{v}} %x)",
        f"declare {{v}} @llvm.x86.avx512.{name}.{{bits}}({{v}}, {{v}}, {{v}})",
        "avx512vnni",
    )


ARITHMETIC = {
    "float32": FMA,
    "int16": vnni("vpdpwssd", 2),
    "int8": vnni("vpdpbusd", 4),
}


class Loop:
    """The machine code of one loop. `run` takes the number of iterations and an array's address."""

    def __init__(self, step: Step, chains: int, stride: int = 0) -> None:
        self.per_iteration = chains * lanes() * step.work
        self.machine = machine()
        module = llvm.parse_assembly(source(step, chains, stride))
        module.verify()
        self.engine = llvm.create_mcjit_compiler(module, self.machine)
        self.engine.finalize_object()
        address = self.engine.get_function_address("loop")
        self.run = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_void_p)(address)


def source(step: Step, chains: int, stride: int) -> str:
    words = {"v": f"<{lanes()} x {step.element}>", "n": lanes(), "bits": 32 * lanes()}
    phis, steps, stores = [], [], []
    for k in range(chains):
        old, new = f"%old{k}", f"%new{k}"
        phis.append(f"{old} = phi {words['v']} [zeroinitializer, %entry], [{new}, %again]")
        if stride:
            steps += [f"%b{k} = mul i64 %i, {stride}", f"%i{k} = add i64 %b{k}, {k}"]
        steps.append(step.text.format(**words, old=old, new=new, k=k))
        stores.append(f"%s{k} = getelementptr {words['v']}, ptr %data, i64 {k}")
        stores.append(f"store {words['v']} {new}, ptr %s{k}, align 4")
    return LOOP.format(
        declare=step.declare.format(**words),
        vector=words["v"],
        phis="\n".join(phis),
        steps="\n".join(steps),
        stores="\n".join(stores),
    )


def machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = f"{llvm.get_host_cpu_features().flatten()},-prefer-256-bit"
    target = llvm.Target.from_default_triple()
    machine: llvm.TargetMachine = target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2
    )
    return machine


def lanes() -> int:
    """Float32 numbers in the widest vector of this CPU."""
    features = llvm.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


def arithmetic(kind: str, threads: int) -> float | None:
    """Multiply-adds per second, in 1e9; None if this CPU has no such instruction."""
    step = ARITHMETIC[kind]
    if step.feature and not llvm.get_host_cpu_features().get(step.feature):
        return None
    loop = Loop(step, chains=24 if lanes() == 16 else 12)
    data = [np.ones(4096, np.float32) for _ in range(threads)]
    calls = [partial(loop.run, ITERATIONS, each.ctypes.data) for each in data]
    return threads * ITERATIONS * loop.per_iteration / fastest(calls) / 1e9


def memory(threads: int) -> float:
    """GB per second that are read. Each thread reads its own array."""
    loop = Loop(LOAD, chains=8, stride=8)
    iterations = MEMORY // loop.per_iteration
    data = [np.ones(MEMORY // 4, np.float32) for _ in range(threads)]
    calls = [partial(loop.run, iterations, each.ctypes.data) for each in data]
    return threads * iterations * loop.per_iteration / fastest(calls) / 1e9


def fastest(calls: Sequence[Callable[[], None]]) -> float:
    """Seconds until all calls have returned, each in its own thread; the best of TRIES tries."""
    seconds = []
    with ThreadPoolExecutor(len(calls)) as pool:
        for _ in range(TRIES):
            began = time.perf_counter()
            list(pool.map(lambda call: call(), calls))
            seconds.append(time.perf_counter() - began)
    return min(seconds)


def peaks(threads: int) -> dict[str, float]:
    """The peak rates by kind (1e9 multiply-adds per second), and "memory" (GB/s).

    bench/ladder.py compares with them.
    """
    rates = {kind: arithmetic(kind, threads) for kind in ARITHMETIC}
    known = {kind: rate for kind, rate in rates.items() if rate}
    return known | {"memory": memory(threads)}
