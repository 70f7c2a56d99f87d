"""The names of the engines, and what each is: `--engines onnxruntime,openvino-int8`.

A name may carry another variant after a colon, which its family understands: "onnxruntime:plain".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec

from bench.machine import has_bfloat16
from bench.peers.batching import Engine, Setup
from bench.peers.ctranslate import CTranslate2
from bench.peers.onnx import FastEmbed, OnnxRuntime
from bench.peers.openvino_ import OpenVino
from bench.peers.ours import Ours
from bench.peers.torch_ import SentenceTransformers, TorchInt8, Transformers

FLOAT32, BITS16, BITS8 = "float32", "16 bits", "8 bits"
OURS = {FLOAT32: "ours-float32", BITS16: "ours-int16", BITS8: "ours-int8"}

NOTHING, BATCH, FORM = range(3)  # what a user chooses: nothing; batches; these and their streams


@dataclass(frozen=True)
class Entry:
    """packages: what has to be installed. precision: its class; float32 must equal the truth.

    rounds: the most that it takes part in; a slow peer would take most of a run's time.
    """

    build: Callable[[Setup], Engine]
    packages: tuple[str, ...]
    variant: str
    precision: str
    tuned: int
    about: str
    bfloat16: bool = False  # the CPU must have it
    rounds: int = 1000


HF = ("torch", "transformers")  # models are converted from it
ORT, OV, CT = ("onnxruntime", "onnx", *HF), ("openvino", "nncf", *HF), ("ctranslate2", *HF)
ENGINES = {
    "ours-reference": Entry(Ours, ("engine",), "reference", FLOAT32, NOTHING, "engine/model.py"),
    "ours-float32": Entry(Ours, ("engine",), "float32", FLOAT32, NOTHING, "engine/fast/"),
    "ours-int16": Entry(Ours, ("engine",), "int16", BITS16, NOTHING, "engine/fast/"),
    "ours-int8": Entry(Ours, ("engine",), "int8", BITS8, NOTHING, "engine/fast/"),
    "onnxruntime": Entry(OnnxRuntime, ORT, "fused", FLOAT32, FORM, "fused graph"),
    "openvino": Entry(OpenVino, OV, "float32", FLOAT32, FORM, "from torch"),
    "openvino-bf16": Entry(OpenVino, OV, "bf16", BITS16, FORM, "from torch", bfloat16=True),
    "onnxruntime-int8": Entry(OnnxRuntime, ORT, "int8", BITS8, FORM, "dynamic, per channel"),
    "openvino-int8": Entry(OpenVino, OV, "int8", BITS8, FORM, "calibrated by NNCF"),
    "ctranslate2-int8": Entry(CTranslate2, CT, "int8", BITS8, FORM, "dynamic"),
    "torch-int8": Entry(TorchInt8, HF, "int8", BITS8, FORM, "dynamic, packed"),
    "fastembed": Entry(
        FastEmbed, ("fastembed", *ORT), "fused", FLOAT32, BATCH, "onnxruntime inside", rounds=3
    ),
    "sentence-transformers": Entry(
        SentenceTransformers,
        ("sentence_transformers",),
        "torch",
        FLOAT32,
        BATCH,
        "torch",
        rounds=3,
    ),
}
TRUTH = Entry(Transformers, HF, "float32", FLOAT32, NOTHING, "transformers, text by text")


def find_engine(name: str) -> Entry:
    """ "onnxruntime", or with another variant "onnxruntime:plain"."""
    if name == "transformers":
        return TRUTH
    base, _, variant = name.partition(":")
    if base not in ENGINES:
        raise SystemExit(f"unknown engine {name!r}; there are: {', '.join(ENGINES)}")
    entry = ENGINES[base]
    if not variant:
        return entry
    return replace(entry, variant=variant, about=f"{entry.about}: {variant}")


def is_installed(entry: Entry) -> bool:
    return all(find_spec(package) is not None for package in entry.packages)


def is_able(entry: Entry) -> bool:
    """Whether this CPU has what the engine needs."""
    return has_bfloat16() or not entry.bfloat16
