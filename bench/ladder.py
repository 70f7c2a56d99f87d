"""A ladder for each kernel: numpy on the lowest rung, the machine's measured peak above all.

    python bench/ladder.py [--kernels gemm,gelu] [--threads 1]

The engine's own kernels stand on the upper rungs, one thread each: with more than one they are left
out.

Each rung is one idea. Every rung is first checked against float64 (integers: exactly), then timed
in turns with the others of its ladder, and the least time counts; a rung that is wrong is not
timed. Rates are G multiply-adds a second beside the peak of that instruction, or GB read and
written a second beside memory's peak; a working set that fits a cache can pass the latter.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from bench.kernels import fast, plain
from bench.kernels.problems import KERNELS, Array, Call, Inputs, Kernel
from bench.peak import peaks
from engine.fast.codegen import compilation
from engine.fast.codegen.target import host_target


@dataclass(frozen=True)
class Rung:
    """One way to compute a kernel. `prepare` packs and allocates; the call it returns is timed.

    tolerance: of max|difference| to the expected result, by its largest number; 0 means exact.
    `peak` names the line of bench/peak.py that the rung's own instruction could reach.
    """

    kernel: str
    name: str
    prepare: Callable[[Inputs], Call]
    tolerance: float = 1e-5
    peak: str = "float32"


FAST = "engine/fast/"
RUNGS: list[Rung] = [
    Rung("gemm", "numpy", plain.by_numpy),
    Rung("gemm", FAST, fast.by_float32),
    Rung("gemm int16", "numpy, float32", plain.by_numpy_in_float),
    Rung("gemm int16", FAST, fast.by_int16, 0, "int16"),
    Rung("gemm int8", "numpy, float32", plain.by_numpy_in_float),
    Rung("gemm int8", FAST, fast.by_int8, 0, "int8"),
    Rung("attention", "engine/model.py", plain.by_readable_attention),
    Rung("attention", FAST, fast.by_attention_head),
    # queries and keys of these problems are 1 and 2 times normal, so scores are off by 1e-3
    Rung("attention", FAST + ", 16 bits", fast.by_integer_attention_head, 2e-3, "int16"),
    Rung("layer norm", "engine/model.py", plain.by_readable_norm),
    Rung("layer norm", FAST, fast.by_layer_norm),
    Rung("gelu", "engine/model.py", plain.by_readable_gelu),
    Rung("gelu", FAST, fast.by_gelu),
    Rung("epilogue int8", "engine/model.py", plain.by_readable_epilogue),
    Rung("epilogue int8", FAST, fast.by_epilogue),
    Rung("rotate", "numpy", plain.by_numpy_rotate),
    Rung("rotate", FAST, fast.by_rotate),
    # a number that lies between two integers may go to either; 3,300 is the largest of 3,072
    Rung("quantise int16", "numpy", plain.by_numpy_int16, 1 / 3000),
    Rung("quantise int16", FAST, fast.by_quantize_int16, 1 / 3000),
    Rung("quantise int8", "numpy", plain.by_numpy_int8, 1 / 254),
    Rung("quantise int8", FAST, fast.by_quantize_int8, 1 / 254),
]


def check(rung: Rung, call: Call, expected: Array) -> str:
    """Empty if the rung is right, else what is wrong with it."""
    got = np.asarray(call(), np.float64)
    if got.shape != expected.shape:
        return f"wrong: shape {got.shape}, not {expected.shape}"
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    return "" if error <= rung.tolerance else f"wrong: by {error:.1e}, allowed {rung.tolerance:.0e}"


def race(calls: Mapping[str, Call], rounds: int) -> dict[str, float]:
    """Seconds of each call, in turns: the least of the rounds."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()  # once untimed: the caches are this rung's
            began = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
    return {name: min(each) for name, each in seconds.items()}


def climb(
    name: str, shape: tuple[int, ...], best: Mapping[str, float], rounds: int, threads: int = 1
) -> None:
    """Check and time every rung of one kernel at one shape; print a line for each."""
    kernel = KERNELS[name]
    inputs = kernel.inputs(*shape)
    expected = np.asarray(kernel.expected(inputs), np.float64)
    rungs = {rung.name: rung for rung in RUNGS if rung.kernel == name}
    if threads > 1:
        rungs = {each: rung for each, rung in rungs.items() if each != FAST}
    calls = {each: rung.prepare(inputs) for each, rung in rungs.items()}
    wrong = {each: check(rungs[each], call, expected) for each, call in calls.items()}
    times = race({each: call for each, call in calls.items() if not wrong[each]}, rounds)
    first = next(iter(times.values()), math.nan)
    for each, rung in rungs.items():
        place = f"{name:14s} {'x'.join(map(str, shape)):14s} {each:16s}"
        print(f"{place} {wrong[each] or line(kernel, rung, shape, times[each], first, best)}")


def line(
    kernel: Kernel,
    rung: Rung,
    shape: tuple[int, ...],
    seconds: float,
    first: float,
    best: Mapping[str, float],
) -> str:
    """Microseconds, rate, share of the peak, and how much faster than the lowest rung."""
    work, unit = (kernel.pairs, "G pairs/s") if kernel.pairs else (kernel.bytes, "GB/s")
    assert work
    rate = work(*shape) / seconds / 1e9
    peak = best.get(rung.peak if kernel.pairs else "memory", math.nan)
    rates = f"{rate:7.1f} {unit:9s} {100 * rate / peak:4.0f} % of peak"
    return f"{1e6 * seconds:9.1f} us {rates}  {first / seconds:5.2f} x"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description="Each kernel's ways, checked, then timed in turns."
    )
    parser.add_argument("--kernels", default=",".join(KERNELS), help="names, with commas")
    parser.add_argument("--threads", type=int, default=1, help="of numpy's BLAS, and of the peaks")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    from threadpoolctl import threadpool_limits

    # numba has not been imported yet: it compiles for the CPU that the engine names to it
    names = compilation.environment(host_target(), "float32")
    os.environ |= {name: value for name, value in names.items() if name.startswith("NUMBA_")}
    with threadpool_limits(options.threads):
        best = peaks(options.threads)
        print("peaks:", ", ".join(f"{kind} {rate:.0f} G/s" for kind, rate in best.items()))
        for name in options.kernels.split(","):
            for shape in KERNELS[name].shapes:
                climb(name, shape, best, options.rounds, options.threads)


if __name__ == "__main__":
    main()
