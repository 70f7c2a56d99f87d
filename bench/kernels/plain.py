"""The lowest rungs: numpy, and the readable model."""

import math

import numpy as np

from bench.kernels.problems import Call, Inputs, integers8, integers16, rotated


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


def by_readable_epilogue(inputs: Inputs) -> Call:
    from engine.model import gelu

    sums, rows, scales = inputs["sums"], inputs["rows"], inputs["scales"]
    return lambda: gelu(
        sums * rows[:, :1] * scales + (rows[:, 1:] * inputs["offsets"] + inputs["bias"])
    )


def by_numpy_rotate(inputs: Inputs) -> Call:
    return lambda: rotated(inputs["x"])


def by_numpy_int16(inputs: Inputs) -> Call:
    return lambda: integers16(inputs["x"]).astype(np.int16)


def by_numpy_int8(inputs: Inputs) -> Call:
    return lambda: integers8(inputs["x"]).astype(np.uint8)
