"""Measures start-up: the run time of a whole process that embeds "hello".

    python bench/start.py [--model minilm] [--rounds 9]

Our process is the command in the README. The process of every other engine is the shortest script
that its users would write, without unneeded imports. Exported graphs, compiled kernels and packed
weights are prepared beforehand. One untimed run of each puts its files into the page cache.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.checkpoints import Checkpoint, find_checkpoint
from bench.convert import PACKAGES, converted
from bench.export import exported
from bench.machine import has_bfloat16
from bench.peers.registry import ENGINES, find_engine
from bench.workers import ROOT, EngineFailed, environment

TIMEOUT_S = 120.0

ONNXRUNTIME = """
import json
import numpy as np, onnxruntime
from tokenizers import Tokenizer

options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = {threads}, 1
session = onnxruntime.InferenceSession("{folder}/{variant}.onnx", options)
tokenizer = Tokenizer.from_file("{folder}/tokenizer.json")
tokenizer.no_padding()
ids = np.array([tokenizer.encode("hello").ids])
mask, types = np.ones_like(ids), np.zeros_like(ids)
inputs = dict(input_ids=ids, attention_mask=mask, token_type_ids=types)
hidden = session.run(None, inputs)[0][0]
vector = {pool}
print(json.dumps((vector / np.linalg.norm(vector)).tolist()))
"""

OPENVINO = """
import json
import numpy as np, openvino
from tokenizers import Tokenizer

settings = dict(INFERENCE_NUM_THREADS={threads}, PERFORMANCE_HINT="LATENCY",
                INFERENCE_PRECISION_HINT="{floats}", CACHE_DIR="{openvino}/compiled")
model = openvino.Core().compile_model("{openvino}/{graph}.xml", "CPU", settings)
tokenizer = Tokenizer.from_file("{checkpoint}/tokenizer.json")
tokenizer.no_padding()
ids = np.array([tokenizer.encode("hello").ids])
mask, types = np.ones_like(ids), np.zeros_like(ids)
hidden = model(dict(input_ids=ids, attention_mask=mask, token_type_ids=types))[0][0]
vector = {pool}
print(json.dumps((vector / np.linalg.norm(vector)).tolist()))
"""

CTRANSLATE2 = """
import json
import ctranslate2
import numpy as np
from tokenizers import Tokenizer

encoder = ctranslate2.Encoder("{ctranslate2}", compute_type="{variant}", intra_threads={threads})
tokenizer = Tokenizer.from_file("{checkpoint}/tokenizer.json")
tokenizer.no_padding()
ids = tokenizer.encode("hello").ids
hidden = np.asarray(encoder.forward_batch([ids]).last_hidden_state)[0]
vector = {pool}
print(json.dumps((vector / np.linalg.norm(vector)).tolist()))
"""

TORCH = """
import json
import torch
from tokenizers import Tokenizer
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
from transformers import BertModel

torch.set_num_threads({threads})
model = BertModel.from_pretrained("{checkpoint}", add_pooling_layer=False).eval()
model = quantize_dynamic(model, {{torch.nn.Linear: per_channel_dynamic_qconfig}})
tokenizer = Tokenizer.from_file("{checkpoint}/tokenizer.json")
tokenizer.no_padding()
ids = tokenizer.encode("hello").ids
with torch.inference_mode():
    hidden = model(torch.tensor([ids])).last_hidden_state[0].numpy()
vector = {pool}
print(json.dumps((vector / (vector @ vector) ** 0.5).tolist()))
"""

FASTEMBED = """
import json
from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

TextEmbedding.add_custom_model("a/b", pooling=PoolingType.{pooling}, normalization=True,
                               sources=ModelSource(hf="a/b"), dim={dim}, model_file="fused.onnx")
model = TextEmbedding("a/b", threads={threads}, specific_model_path="{folder}")
print(json.dumps(next(iter(model.embed("hello"))).tolist()))
"""

SENTENCE_TRANSFORMERS = """
import json
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{checkpoint}", device="cpu")
print(json.dumps(model.encode("hello", normalize_embeddings=True).tolist()))
"""

SCRIPTS = {  # by the first package that an engine needs
    "onnxruntime": ONNXRUNTIME,
    "openvino": OPENVINO,
    "ctranslate2": CTRANSLATE2,
    "torch": TORCH,
    "fastembed": FASTEMBED,
    "sentence_transformers": SENTENCE_TRANSFORMERS,
}
POOL = {"cls": "hidden[0]", "mean": "hidden.mean(axis=0)"}


def command(engine: str, checkpoint: Checkpoint, threads: int) -> list[str]:
    """The command of a process that embeds "hello" with this engine and prints its vector."""
    entry = find_engine(engine)
    family, folder = entry.packages[0], checkpoint.folder
    if family == "engine":
        options = ["--model", str(folder), "--precision", entry.variant, "--threads", str(threads)]
        return [sys.executable, "-m", "engine", "embed", *options, "hello"]
    words = {
        "checkpoint": folder,
        "threads": threads,
        "variant": entry.variant,
        "pool": POOL[checkpoint.pooling],
        "pooling": checkpoint.pooling.upper(),
        "dim": checkpoint.bert["hidden_size"],
    }
    if family in PACKAGES:
        words[family] = converted(checkpoint, family)
        words["graph"] = "int8" if entry.variant == "int8" else "float32"
        words["floats"] = "bf16" if entry.variant != "float32" and has_bfloat16() else "f32"
    elif family in ("onnxruntime", "fastembed"):
        words["folder"] = exported(checkpoint)
    return [sys.executable, "-c", SCRIPTS[family].format(**words)]


def start(engine: str, checkpoint: Checkpoint, threads: int) -> float:
    """Seconds that the whole process takes.

    If it fails, raises EngineFailed with the last line of its standard error.
    """
    process = command(engine, checkpoint, threads)
    began = time.perf_counter()
    try:
        done = subprocess.run(
            process, cwd=ROOT, env=environment(threads), capture_output=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        raise EngineFailed(f"no vector within {TIMEOUT_S:.0f} s") from None
    seconds = time.perf_counter() - began
    if done.returncode or not done.stdout.strip():
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["printed nothing"]
        raise EngineFailed(lines[-1])
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Time from process start to the first vector.")
    parser.add_argument("--model", default="minilm", help="minilm, bge-shape, a name or a folder")
    parser.add_argument("--engines", default="ours-float32,onnxruntime")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    checkpoint = find_checkpoint(options.model)
    engines = list(ENGINES) if options.engines == "all" else options.engines.split(",")
    seconds: dict[str, list[float]] = {}
    for turn in range(options.rounds + 1):
        for name in engines:
            try:
                seconds.setdefault(name, []).append(start(name, checkpoint, options.threads))
            except EngineFailed as failure:
                raise SystemExit(f"{name}: {failure}") from None
        if turn == 0:  # the untimed run
            seconds.clear()
    for name, each in seconds.items():
        print(f"{name:22s} {statistics.median(each):6.3f} s (median), {min(each):6.3f} (fastest)")


if __name__ == "__main__":
    main()
