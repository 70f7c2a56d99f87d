"""A ladder for each kernel: numpy on the lowest rung, the machine's measured peak above all.

    python bench/ladder.py [--kernels gemm,gelu] [--threads 1]

Each rung is one idea. Every rung is first checked against float64 (integers: exactly), then timed
in turns with the others of its ladder, and the least time counts; a rung that is wrong is not
timed. Rates are G multiply-adds a second beside the peak of that instruction, or GB read and
written a second beside memory's peak; a working set that fits a cache can pass the latter.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from bench.peak import peaks

Array = Any
Inputs = Mapping[str, Array]
Call = Callable[[], Array]

GEMMS = tuple(
    (rows, inner, outer)
    for inner, outer in ((768, 2304), (768, 768), (768, 3072), (3072, 768))
    for rows in (8, 96, 480)
)
TOKENS = ((480, 768), (480, 3072))


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


@dataclass(frozen=True)
class Kernel:
    """A problem: inputs for a shape, the right result, and the work that has to be done for it."""

    shapes: Sequence[tuple[int, ...]]
    inputs: Callable[..., Inputs]
    expected: Callable[[Inputs], Array]
    pairs: Callable[..., int] | None = None  # multiply-adds; without them bytes are counted
    bytes: Callable[..., int] | None = None


def draw(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def whole(low: int, high: int, dtype: str, *shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(low, high, shape).astype(dtype)


def exact_gelu(x: Array) -> Array:
    erf = np.vectorize(math.erf, otypes=[np.float64])
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def exact_attention(inputs: Inputs) -> Array:
    """(H, L, K) each: softmax(Q Kᵀ / √K) V in float64."""
    q, k, v = (inputs[name].astype(np.float64) for name in "qkv")
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[2])
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    return weights / weights.sum(axis=2, keepdims=True) @ v


def exact_norm(inputs: Inputs) -> Array:
    x = inputs["x"].astype(np.float64)
    centred = x - x.mean(axis=1, keepdims=True)
    unit = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-12)
    return unit * inputs["scale"] + inputs["shift"]


def product(inputs: Inputs) -> Array:
    kind = np.float64 if inputs["a"].dtype == np.float32 else np.int64
    return inputs["a"].astype(kind) @ inputs["b"].astype(kind)


def gemm_pairs(rows: int, inner: int, outer: int) -> int:
    return rows * inner * outer


KERNELS: dict[str, Kernel] = {
    "gemm": Kernel(GEMMS, lambda m, k, n: {"a": draw(m, k), "b": draw(k, n)}, product, gemm_pairs),
    "gemm int16": Kernel(  # 13 bits of magnitude a side would overflow in places: see fast/
        GEMMS,
        lambda m, k, n: {"a": whole(-800, 801, "i2", m, k), "b": whole(-800, 801, "i2", k, n)},
        product,
        gemm_pairs,
    ),
    "gemm int8": Kernel(
        GEMMS,
        lambda m, k, n: {"a": whole(0, 256, "u1", m, k), "b": whole(-127, 128, "i1", k, n)},
        product,
        gemm_pairs,
    ),
    "attention": Kernel(  # heads, length, width of a head
        ((12, 16, 64), (12, 88, 64), (12, 512, 64)),
        lambda h, n, k: {name: draw(h, n, k) * np.float32(at + 1) for at, name in enumerate("qkv")},
        exact_attention,
        lambda h, n, k: 2 * h * n * n * k,
    ),
    "layer norm": Kernel(
        TOKENS[:1],
        lambda t, d: {"x": draw(t, d), "scale": draw(d) + 1, "shift": draw(d)},
        exact_norm,
        bytes=lambda t, d: 8 * t * d,
    ),
    "gelu": Kernel(
        TOKENS[1:],
        lambda t, f: {"x": 3 * draw(t, f)},
        lambda inputs: exact_gelu(inputs["x"].astype(np.float64)),
        bytes=lambda t, f: 8 * t * f,
    ),
}


def by_numpy(inputs: Inputs) -> Call:
    a, b = inputs["a"], inputs["b"]
    out = np.empty((len(a), b.shape[1]), np.float32)
    return lambda: np.matmul(a, b, out=out)


def by_numpy_in_float(inputs: Inputs) -> Call:
    """The integers as float32: not exact, but what an integer kernel has to beat."""
    return by_numpy({name: array.astype(np.float32) for name, array in inputs.items()})


def by_readable_attention(inputs: Inputs) -> Call:
    from engine.model import softmax

    q, k, v = (inputs[name] for name in "qkv")
    scale = np.float32(1 / math.sqrt(q.shape[2]))
    return lambda: softmax((q * scale) @ k.transpose(0, 2, 1)) @ v


def by_readable_norm(inputs: Inputs) -> Call:
    from types import SimpleNamespace

    from engine.model import layer_norm

    weights = SimpleNamespace(scale=inputs["scale"], shift=inputs["shift"])
    return lambda: layer_norm(inputs["x"], weights, 1e-12)


def by_readable_gelu(inputs: Inputs) -> Call:
    from engine.model import gelu

    return lambda: gelu(inputs["x"].copy())


RUNGS: list[Rung] = [
    Rung("gemm", "numpy", by_numpy),
    Rung("gemm int16", "numpy, float32", by_numpy_in_float),
    Rung("gemm int8", "numpy, float32", by_numpy_in_float),
    Rung("attention", "engine/model.py", by_readable_attention),
    Rung("layer norm", "engine/model.py", by_readable_norm),
    Rung("gelu", "engine/model.py", by_readable_gelu),
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


def climb(name: str, shape: tuple[int, ...], best: Mapping[str, float], rounds: int) -> None:
    """Check and time every rung of one kernel at one shape; print a line for each."""
    kernel = KERNELS[name]
    inputs = kernel.inputs(*shape)
    expected = np.asarray(kernel.expected(inputs), np.float64)
    rungs = {rung.name: rung for rung in RUNGS if rung.kernel == name}
    calls = {each: rung.prepare(inputs) for each, rung in rungs.items()}
    wrong = {each: check(rungs[each], call, expected) for each, call in calls.items()}
    times = race({each: call for each, call in calls.items() if not wrong[each]}, rounds)
    first = next(iter(times.values()), math.nan)
    for each, rung in rungs.items():
        place = f"{name:11s} {'x'.join(map(str, shape)):14s} {each:24s}"
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

    with threadpool_limits(options.threads):
        best = peaks(options.threads)
        print("peaks:", ", ".join(f"{kind} {rate:.0f} G/s" for kind, rate in best.items()))
        for name in options.kernels.split(","):
            for shape in KERNELS[name].shapes:
                climb(name, shape, best, options.rounds)


if __name__ == "__main__":
    main()
